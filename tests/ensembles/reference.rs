//! The mean cell of syn3a in closed form, and what surrounds the reactions of a single one: written anew from the
//! equations of docs/models.md, so that it shares no line with what it is compared with.

pub(crate) const CLASSES: usize = 4;
pub(crate) const TICK_MIN: f64 = 0.1;
/// Steps of energy and nutrient within a tick.
const STEPS: u32 = 20;

/// Constants and state at the unlimited steady state; classes r, t, m, q.
pub(crate) struct Reference {
    pub(crate) lambda: f64,
    pub(crate) mass_aa: f64,
    pub(crate) nr: f64,
    pub(crate) nx: f64,
    pub(crate) ribosomes: f64,
    pub(crate) dm: f64,
    pub(crate) k_cm: f64,
    pub(crate) energy: f64,
    pub(crate) nutrient: f64,
    /// Mass of each class, aa.
    pub(crate) mass: [f64; CLASSES],
    /// Transcription of each class.
    pub(crate) w: [f64; CLASSES],
    /// The same at plenty of energy.
    w_most: [f64; CLASSES],
    thr: f64,
    thx: f64,
    kq: f64,
    gmax: f64,
    kg: f64,
    ns: f64,
    vt: f64,
    vm: f64,
    complexes: [f64; CLASSES],
}

const KB: f64 = 1.0;
const KU: f64 = 1.0;
const S0: f64 = 1e4;
const KT: f64 = 1000.0;
const KM: f64 = 1000.0;

impl Reference {
    pub(crate) fn of_syn3a() -> Self {
        let (td, mass_aa, nr, nx, ribosomes, gmax) = (105.0, 29.64e6, 6775.0, 382.5, 503.0, 720.0);
        let (act, phi_e, energy, dm): (f64, f64, f64, f64) = (0.8, 0.434, 73_700.0, 0.2006);
        let (ns, nutrient) = (0.5, 128.4);
        let lambda = std::f64::consts::LN_2 / td;
        let translating = act * ribosomes;
        let gamma = lambda * mass_aa / translating;
        let kg = energy * (gmax / gamma - 1.0);
        let free = ribosomes - translating;
        let phi_r = nr * ribosomes / mass_aa;
        let enzymes = phi_e * mass_aa / nx / 2.0;
        let housekeeping = (1.0 - phi_r - phi_e) * mass_aa / nx;
        let proteins = [ribosomes, enzymes, enzymes, housekeeping];
        let length = [nr, nx, nx, nx];
        let complexes: [f64; CLASSES] =
            std::array::from_fn(|class| lambda * proteins[class] * length[class] / gamma);
        let w = std::array::from_fn(|class| {
            let free_mrna = (KU + gamma / length[class] + lambda) * complexes[class] / (KB * free);
            (dm + lambda) * free_mrna + lambda * complexes[class]
        });
        let (thr, thx) = (426.8693338968694 / 10.704846 * energy, 4.379733394834643 / 10.704846 * energy);
        let kq = housekeeping / 1.567;
        let w_most = std::array::from_fn(|class| {
            let threshold = if class == 0 { thr } else { thx };
            let repression = if class == 3 { 1.0 + (housekeeping / kq).powi(4) } else { 1.0 };
            w[class] * (threshold + energy) / energy * repression
        });
        let vcat = lambda * (mass_aa + energy) / ns;
        let vm = vcat * (KM + nutrient) / nutrient / enzymes;
        let vt = (vcat + lambda * nutrient) * (KT + S0) / S0 / enzymes;
        let mass = std::array::from_fn(|class| proteins[class] * length[class]);
        let k_cm = 0.005990373118888;
        Self {
            lambda,
            mass_aa,
            nr,
            nx,
            ribosomes,
            dm,
            k_cm,
            energy,
            nutrient,
            mass,
            w,
            w_most,
            thr,
            thx,
            kq,
            gmax,
            kg,
            ns,
            vt,
            vm,
            complexes,
        }
    }

    pub(crate) fn elongation(&self, energy: f64) -> f64 {
        self.gmax * energy / (self.kg + energy)
    }

    pub(crate) fn transcription(&self, energy: f64, housekeeping: f64) -> [f64; CLASSES] {
        let repression = 1.0 / (1.0 + (housekeeping / self.kq).powi(4));
        std::array::from_fn(|class| {
            let threshold = if class == 0 { self.thr } else { self.thx };
            let free = self.w_most[class] * energy / (threshold + energy);
            if class == 3 { free * repression } else { free }
        })
    }

    /// Complexes for each unit of demand, with the free ribosomes r at which r + sum(c) is what is active; by halving.
    pub(crate) fn balance(
        &self,
        active: f64,
        demand: &[f64; CLASSES],
        inhibition: f64,
        energy: f64,
        growth: f64,
    ) -> [f64; CLASSES] {
        let gamma = self.elongation(energy);
        let per_demand = |free: f64| -> [f64; CLASSES] {
            std::array::from_fn(|class| {
                let length = if class == 0 { self.nr } else { self.nx };
                let fate = KU + gamma / length + inhibition + growth;
                1.0 / (inhibition + growth + (self.dm + growth) * fate / (KB * free))
            })
        };
        let (mut low, mut high) = (0.0, active);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            let complexes = per_demand(middle);
            let sum: f64 = (0..CLASSES).map(|class| complexes[class] * demand[class]).sum();
            if middle + sum < active { low = middle } else { high = middle }
        }
        per_demand(high)
    }

    /// F_x: completions for each transcript over those at the reference.
    pub(crate) fn relative_completion(&self, class: usize, per_demand: f64, energy: f64) -> f64 {
        let gamma = self.elongation(energy) / self.elongation(self.energy);
        gamma * per_demand / (self.complexes[class] / self.w[class])
    }

    /// Energy and nutrient a tick later; `flow` is transporters, enzymes and translating ribosomes. Each small step
    /// is implicit, by halving: both fall with themselves.
    pub(crate) fn next(
        &self,
        energy: f64,
        nutrient: f64,
        atp: f64,
        [transporters, enzymes, translating]: [f64; 3],
        growth: f64,
    ) -> (f64, f64) {
        let (mut a, mut s) = (energy, nutrient);
        let step = TICK_MIN / f64::from(STEPS);
        let import = transporters * self.vt * S0 / (KT + S0);
        for _ in 0..STEPS {
            let turnover = |s: f64| enzymes * self.vm * s / (KM + s);
            s = root(s, step, |s| import - turnover(s) - growth * s);
            let supply = atp * self.ns * turnover(s);
            let spent = |a: f64| self.elongation(a) * translating;
            a = root(a, step, |a| supply - spent(a) - spent(a) / self.mass_aa * a);
        }
        (a, s)
    }
}

/// x with x = begun + step slope(x), where the slope falls with x.
fn root(begun: f64, step: f64, slope: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, begun + step * slope(0.0) + 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if middle < begun + step * slope(middle) { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}
