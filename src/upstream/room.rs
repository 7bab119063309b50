//! How many bytes of large answers are held at a time.
//!
//! Promises that the bodies of large answers, from reading to the end of shaping, take no more than `SHARED` together and
//! one more that is as long as may be; that whoever waits for more room gets it in turn, since that one always comes to its
//! end. Small ones do not ask.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::upstream::error::UpstreamError;

/// What large bodies may take in memory together.
const SHARED: usize = 16 << 20;
/// A body of up to so many bytes asks for no room. At most 256 calls are open at a time.
pub(crate) const SMALL: usize = 128 << 10;

/// The room for the large answers of one API.
#[derive(Debug)]
pub(crate) struct Room {
    /// One permit for each byte.
    shared: Arc<Semaphore>,
    /// For one that found no room, and that may then be as long as the policy lets it.
    spare: Arc<Semaphore>,
}

/// The room of one answer, given back when it is dropped.
#[derive(Debug, Default)]
pub struct Held {
    shared: Option<OwnedSemaphorePermit>,
    spare: Option<OwnedSemaphorePermit>,
}

impl Default for Room {
    fn default() -> Self {
        Self { shared: Arc::new(Semaphore::new(SHARED)), spare: Arc::new(Semaphore::new(1)) }
    }
}

impl Room {
    /// Waits until `held` is room for so many bytes.
    ///
    /// # Errors
    /// [`UpstreamError::Busy`]: it was not for as long as that.
    pub(crate) async fn grow(&self, held: &mut Held, bytes: usize, patience: Duration) -> Result<(), UpstreamError> {
        if held.bytes() >= bytes {
            return Ok(());
        }
        let more = bytes.saturating_sub(held.shared.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let more = u32::try_from(more).ok().filter(|_| bytes <= SHARED);
        // Who asks for more than there ever is would stand in the way of those who wait for less.
        let shared = async {
            match more {
                Some(more) => Arc::clone(&self.shared).acquire_many_owned(more).await,
                None => std::future::pending().await,
            }
        };
        let spare = Arc::clone(&self.spare).acquire_owned();
        tokio::select! {
            biased;
            Ok(permit) = shared => match &mut held.shared {
                Some(held) => held.merge(permit),
                none => *none = Some(permit),
            },
            Ok(permit) = spare => held.spare = Some(permit),
            () = tokio::time::sleep(patience) => return Err(UpstreamError::Busy),
            else => return Err(UpstreamError::Busy),
        }
        Ok(())
    }
}

impl Held {
    /// For how many bytes it is room.
    pub(crate) fn bytes(&self) -> usize {
        match (&self.spare, &self.shared) {
            (Some(_), _) => usize::MAX,
            (None, Some(permit)) => permit.num_permits(),
            (None, None) => SMALL,
        }
    }

    /// Gives back what so many bytes do not need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.shared {
            drop(permit.split(permit.num_permits().saturating_sub(bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const NEVER: Duration = Duration::from_secs(60);

    async fn take(room: &Room, bytes: usize) -> Result<Held, UpstreamError> {
        let mut held = Held::default();
        room.grow(&mut held, bytes, SOON).await.map(|()| held)
    }

    #[tokio::test]
    async fn large_answers_share_the_room_and_one_more_has_all_that_it_needs() {
        const LEAST: usize = SMALL + 1;
        let room = Room::default();
        let mut first = take(&room, SHARED).await.unwrap();
        let spare = take(&room, SHARED * 60).await.unwrap();
        assert_eq!((first.bytes(), spare.bytes()), (SHARED, usize::MAX));
        assert!(matches!(take(&room, LEAST).await, Err(UpstreamError::Busy)));
        assert_eq!(take(&room, SMALL).await.unwrap().bytes(), SMALL, "a small one asks for none");
        first.shrink(LEAST);
        let second = take(&room, SHARED - LEAST).await.unwrap();
        assert!(matches!(take(&room, LEAST).await, Err(UpstreamError::Busy)));
        drop(spare);
        drop(take(&room, LEAST).await.unwrap());
        drop((first, second));
        assert_eq!((room.shared.available_permits(), room.spare.available_permits()), (SHARED, 1));
    }

    #[tokio::test]
    async fn answers_that_grow_side_by_side_all_come_to_their_end() {
        let room = Arc::new(Room::default());
        let growing = (0..16).map(|_| {
            let room = Arc::clone(&room);
            tokio::spawn(async move {
                let mut held = Held::default();
                let mut most = 0;
                for step in 1..=8 {
                    room.grow(&mut held, step << 20, NEVER).await.unwrap();
                    assert!(held.bytes() >= step << 20);
                    most = most.max(SHARED - room.shared.available_permits());
                    tokio::time::sleep(SOON).await;
                }
                most
            })
        });
        for grown in growing.collect::<Vec<_>>() {
            assert!(grown.await.unwrap() <= SHARED);
        }
        assert_eq!(room.shared.available_permits(), SHARED);
    }

    #[tokio::test]
    async fn more_than_there_ever_is_does_not_stand_in_the_way_of_less() {
        let room = Arc::new(Room::default());
        let spare = take(&room, SHARED + 1).await.unwrap();
        let waiting = Arc::clone(&room);
        let larger = tokio::spawn(async move {
            let mut held = Held::default();
            waiting.grow(&mut held, SHARED + 1, NEVER).await.map(|()| held.bytes())
        });
        tokio::task::yield_now().await;
        assert_eq!(take(&room, SHARED).await.unwrap().bytes(), SHARED);
        drop(spare);
        assert_eq!(larger.await.unwrap().unwrap(), usize::MAX);
    }
}
