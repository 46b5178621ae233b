//! Random numbers, for ids that nobody else may have drawn. A test may draw them from a seed in its own thread.

use rand::distr::{Distribution, StandardUniform};

pub fn draw<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    #[cfg(test)]
    if let Some(drawn) = simulated::draw() {
        return drawn;
    }
    rand::random()
}

#[cfg(test)]
pub mod simulated {
    use rand::distr::{Distribution, StandardUniform};
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng as _};
    use std::cell::RefCell;

    thread_local! {
        static RANDOM: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
    }

    pub fn draw<T>() -> Option<T>
    where
        StandardUniform: Distribution<T>,
    {
        RANDOM.with_borrow_mut(|random| random.as_mut().map(Rng::random))
    }

    /// What this thread draws from, from now on; `None`: the operating system.
    pub fn set(seed: Option<u64>) {
        RANDOM.set(seed.map(SmallRng::seed_from_u64));
    }
}
