//! Seeded chance: the same seed throws the same.

/// The environment's seed, or one from the clock; said aloud, so that a failure can be repeated.
pub(crate) fn seed(of: &str) -> u64 {
    let given = std::env::var("STERNWAY_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let clock = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(1, |since| since.as_secs())
    };
    let seed = given.unwrap_or_else(clock);
    eprintln!("{of}: seed {seed} (STERNWAY_SEED={seed} repeats it)");
    seed
}

/// SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
