//! The mutex of live recordings and of the exchanges in flight. In a model of a unit test it is loom's, which tries the
//! interleavings of the threads that lock it.

#[cfg(not(test))]
pub(super) use parking_lot::{Mutex, MutexGuard};

#[cfg(test)]
pub(super) use self::modelled::{Mutex, MutexGuard, explore};

#[cfg(test)]
mod modelled {
    use std::{cell::Cell, env, ops::DerefMut, sync::PoisonError, time::Duration};

    thread_local! {
        /// `true` in a model, whose threads are all run by one thread of the system.
        static IN_MODEL: Cell<bool> = const { Cell::new(false) };
    }

    /// loom's mutex in a model, and `parking_lot`'s outside of one, where loom's does not work.
    #[derive(Debug)]
    pub(in crate::answer) enum Mutex<T> {
        Modelled(loom::sync::Mutex<T>),
        Plain(parking_lot::Mutex<T>),
    }

    pub(in crate::answer) type MutexGuard<'a, T> = Box<dyn DerefMut<Target = T> + 'a>;

    impl<T> Mutex<T> {
        pub(in crate::answer) fn new(value: T) -> Self {
            if IN_MODEL.get() {
                Self::Modelled(loom::sync::Mutex::new(value))
            } else {
                Self::Plain(parking_lot::Mutex::new(value))
            }
        }

        pub(in crate::answer) fn lock(&self) -> MutexGuard<'_, T> {
            match self {
                Self::Modelled(mutex) => {
                    Box::new(mutex.lock().unwrap_or_else(PoisonError::into_inner))
                }
                Self::Plain(mutex) => Box::new(mutex.lock()),
            }
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    /// Runs a model in each interleaving of its threads that takes the processor from a running one at most so many times;
    /// if `REPRISE_TORTURE_MINUTES` is set, two times more, for that time at most. A thread that is never woken is a
    /// deadlock, and fails.
    pub(in crate::answer) fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
        let minutes = env::var("REPRISE_TORTURE_MINUTES").ok().and_then(|text| text.parse().ok());
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions + if minutes.is_some() { 2 } else { 0 });
        builder.max_duration = minutes.map(|minutes: u64| Duration::from_secs(minutes * 60));
        IN_MODEL.set(true);
        builder.check(model);
        IN_MODEL.set(false);
    }
}
