//! Checking a whole ledger: every checksum, and that the batches kept are one chain that ends where the
//! ledger stands. Whether the rows are what the journal folds to is for the fleet's core to say.

use super::{Applied, Ledger, LedgerError, StoredBatch};

/// What a ledger holds and everything that is wrong with it.
#[derive(Debug)]
pub struct Verified {
    pub applied: Option<Applied>,
    pub rows: u64,
    pub batches: u64,
    pub faults: Vec<LedgerError>,
}

impl Ledger {
    /// Reads all of it and lists what is wrong.
    pub fn verify(&self) -> Verified {
        let mut verified =
            Verified { applied: self.applied().cloned(), rows: 0, batches: 0, faults: Vec::new() };
        for row in self.rows() {
            match row {
                Ok(_) => verified.rows += 1,
                Err(fault) => verified.faults.push(fault),
            }
        }
        match self.batches_after(0) {
            Ok(batches) => {
                verified.batches = batches.len() as u64;
                verified.faults.extend(self.chain_fault(&batches));
            }
            Err(fault) => verified.faults.push(fault),
        }
        verified
    }

    fn chain_fault(&self, batches: &[StoredBatch]) -> Option<LedgerError> {
        for pair in batches.windows(2) {
            if pair[1].previous_hash != pair[0].hash || pair[1].first_index != pair[0].last_index + 1 {
                let index = pair[1].first_index;
                return Some(self.damaged(format!("its batches do not join at index {index}")));
            }
        }
        let (Some(last), Some(applied)) = (batches.last(), self.applied()) else { return None };
        let ends = last.hash == applied.hash && last.last_index == applied.index;
        (!ends).then(|| {
            self.damaged(format!(
                "its batches end at index {}, its position says index {}",
                last.last_index, applied.index
            ))
        })
    }
}
