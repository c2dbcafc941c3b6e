//! Seeded randomness: a run is repeated by its seed.

/// xorshift64*.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The seed of BIOXEN_TEST_SEED, else one of the clock's; printed.
    #[expect(clippy::print_stdout, reason = "whoever repeats a run needs its seed")]
    pub fn from_environment() -> Self {
        let given = std::env::var("BIOXEN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || {
            let since =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            u64::from(since.subsec_nanos()) ^ since.as_secs()
        };
        let seed: u64 = given.unwrap_or_else(clock);
        println!("BIOXEN_TEST_SEED={seed}");
        Self::new(seed)
    }

    fn new(seed: u64) -> Self {
        let mut random = Self(seed | 1 << 63);
        (0..8).for_each(|_| _ = random.next());
        random
    }

    /// Another sequence, given by this one.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("it was a usize")]
    }
}
