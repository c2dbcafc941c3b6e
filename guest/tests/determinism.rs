//! The same job has the same outcome, bit for bit: again, in another process, on another processor. And arithmetic is
//! `libm`'s, not the C library's.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

use std::process::{Child, Command, Stdio};

use bioxen_guest::{Hello, Job, Limits, Outcome, Value, encode, read_frame, write_frame};
use bioxen_hypervisor::process::effects::Reservation;
use bioxen_hypervisor::{Cell, CellSpec, ChassisName};

const SCRIPT: &str = r#"
    local sum, log = 0, {}
    for i = 1, 2000 do
        local x = math.random() * 20 - 10
        sum += math.exp(x) + x ^ 3.7 * 1e-3 + math.sin(x) + math.cos(x) + math.tan(x) + math.log(math.abs(x) + 1)
            + math.log10(math.abs(x) + 1) + math.sinh(x) + math.cosh(x) + math.tanh(x) + math.atan2(x, i)
            + math.asin(x / 10) + math.acos(x / 10) + math.fmod(x, 0.3) + math.log(math.abs(x) + 1, 2)
            + math.sqrt(math.abs(x)) + math.noise(x, i)
        sum = if sum == sum then sum else 0
    end
    cell.add_drug("chloramphenicol", 2 + math.random())
    for at = 1, 5 do
        cell.advance(1.3)
        cell.record("growth", cell.metrics().growth_rate_per_min)
        log[at] = tostring(cell.minimal_metabolism_analysis().fluxes.translation_aa)
    end
    local names = {}
    for name in pairs(cell.metrics()) do table.insert(names, name) end
    return {sum = sum, log = log, names = names, shown = tostring(names) .. `{cell.time}`, random = math.random(1e9)}
"#;

struct Guest(Child);

impl Guest {
    fn start(tunables: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bioxen-guest"));
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(tunables) = tunables {
            command.env("GLIBC_TUNABLES", tunables);
        }
        let mut guest = Self(command.spawn().expect("the guest starts"));
        let hello: Option<Hello> = read_frame(guest.0.stdout.as_mut().expect("a pipe")).expect("a hello");
        assert!(hello.expect("a hello").confinement.system_calls);
        guest
    }

    fn outcome(&mut self, job: &Job) -> Outcome {
        write_frame(self.0.stdin.as_mut().expect("a pipe"), job).expect("the job is handed over");
        read_frame(self.0.stdout.as_mut().expect("a pipe")).expect("an answer").expect("an answer")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn job(chassis: ChassisName, code: &str) -> Job {
    let cell = Cell::new(&CellSpec::unlimited(chassis)).expect("a cell");
    Job {
        id: 1,
        checkpoint: cell.checkpoint(),
        code: code.to_owned(),
        limits: Limits::default(),
        reservation: Reservation { atp_milli_percent: 60_000, ribosome_units: 10 },
        packages: Vec::new(),
        recording: None,
    }
}

#[test]
fn the_same_job_has_the_same_bytes_again_elsewhere_and_on_a_lesser_processor() {
    let mut guest = Guest::start(None);
    let mut lesser = Guest::start(Some("glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F,-AVX2_Usable,-FMA_Usable"));
    for chassis in ChassisName::ALL {
        let job = job(chassis, SCRIPT);
        let first = guest.outcome(&job);
        let done = first.result.as_ref().expect("it works");
        assert_eq!((done.changes.len(), done.records.len()), (1, 5));
        let bytes = encode(&first).expect("it encodes");
        for other in [guest.outcome(&job), Guest::start(None).outcome(&job), lesser.outcome(&job)] {
            assert_eq!(encode(&other).expect("it encodes"), bytes, "{chassis}");
        }
    }
}

#[test]
fn the_functions_of_arithmetic_are_libm_s_to_the_last_bit() {
    const CODE: &str = "local y = {} for i = 1, 400 do local x = i * 0.0371 \
        y[#y + 1] = math.exp(x) y[#y + 1] = x ^ 2.3 y[#y + 1] = math.log(x) y[#y + 1] = math.sin(x) \
        y[#y + 1] = math.tan(x) y[#y + 1] = math.log10(x) y[#y + 1] = math.cosh(x) end return y";
    let job =
        Job { limits: Limits { result_bytes: 1 << 20, ..Limits::DEFAULT }, ..job(ChassisName::Syn3a, CODE) };
    let done = Guest::start(None).outcome(&job).result.expect("it works");
    let Value::List(found) = done.value else { panic!("a list") };
    let mut expected = Vec::new();
    for i in 1..=400 {
        let x = f64::from(i) * 0.0371;
        expected.extend([libm::exp(x), libm::pow(x, 2.3), libm::log(x), libm::sin(x)]);
        expected.extend([libm::tan(x), libm::log10(x), libm::cosh(x)]);
    }
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let found: Vec<f64> = found.iter().map(|value| value.as_f64().expect("a number")).collect();
    assert_eq!(bits(&found), bits(&expected));
}

#[test]
fn random_numbers_follow_from_the_cell_s_state() {
    let mut guest = Guest::start(None);
    let mut draw =
        |chassis| guest.outcome(&job(chassis, "return math.random(1e9)")).result.expect("it works").value;
    assert_eq!(draw(ChassisName::Syn3a), draw(ChassisName::Syn3a));
    assert_ne!(draw(ChassisName::Syn3a), draw(ChassisName::Ecoli));
}

#[test]
fn a_guest_ends_with_its_input() {
    let mut guest = Guest::start(None);
    drop(guest.0.stdin.take());
    assert!(guest.0.wait().expect("it ends").success());
}
