//! The bytes of all request bodies in memory: those that are being read or unpacked, and those that are not prepared yet.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size take nothing of the budget: the limit on connections is enough for them, and they are served
/// while large ones wait.
const SMALL: usize = 64 << 10;
/// Unit of the budget, in bytes.
const UNIT: usize = 64 << 10;
/// Number of bodies of the largest size that fit in the budget.
pub(super) const LARGEST_BODIES: usize = 8;
/// Smallest budget, in bytes.
const LEAST: usize = 64 << 20;

/// The bytes that all bodies together may take.
#[derive(Debug, Clone)]
pub(super) struct BodyBudget(Arc<Semaphore>);

/// There is no room for more of a body now.
#[derive(Debug)]
pub(super) struct NoRoom;

/// The share of one body, which grows with it.
#[derive(Debug)]
pub(super) struct BodyShare {
    budget: BodyBudget,
    permit: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    /// The budget of a server whose largest body has `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let bytes = limit.saturating_mul(LARGEST_BODIES).max(LEAST);
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// A share of a body of which nothing has been read.
    pub(super) fn share(&self) -> BodyShare {
        BodyShare { budget: self.clone(), permit: None }
    }
}

impl BodyShare {
    /// Takes a share for `bytes` in all. Never waits: of two bodies that wait for each other, neither would be read.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let needed = bytes.saturating_sub(SMALL).div_ceil(UNIT);
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = needed.checked_sub(held).filter(|more| *more > 0) else { return Ok(()) };
        let more = u32::try_from(more).map_err(|_| NoRoom)?;
        let semaphore = Arc::clone(&self.budget.0);
        let more = semaphore.try_acquire_many_owned(more).map_err(|_| NoRoom)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }

    /// Another share of the same budget.
    pub(super) fn another(&self) -> Self {
        self.budget.share()
    }

    /// The body with its share, which it holds as long as anything of it is in memory.
    pub(super) fn hold(self, body: Bytes) -> Bytes {
        struct Held(
            Bytes,
            #[expect(dead_code, reason = "held until the body is dropped")] OwnedSemaphorePermit,
        );
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        match self.permit {
            Some(permit) => Bytes::from_owner(Held(body, permit)),
            None => body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_held_as_long_as_its_body() {
        let budget = BodyBudget::new(LEAST / LARGEST_BODIES);
        let free = || budget.0.available_permits();
        let all = free();
        let mut small = budget.share();
        small.grow_to(SMALL).unwrap();
        assert_eq!(free(), all);
        let mut first = budget.share();
        first.grow_to(SMALL + 1).unwrap();
        first.grow_to(SMALL + UNIT).unwrap();
        assert_eq!(free(), all - 1);
        first.grow_to(LEAST / 2).unwrap();
        let mut second = first.another();
        assert!(second.grow_to(LEAST).is_err());
        second.grow_to(LEAST / 2).unwrap();
        small.grow_to(SMALL).unwrap();
        let body = first.hold(Bytes::from_static(b"body"));
        let part = body.slice(1..2);
        drop((second, body));
        assert!(free() < all);
        drop(part);
        assert_eq!(free(), all);
    }
}
