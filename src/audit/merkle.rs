//! The Merkle tree over the records of a log (RFC 6962, section 2.1), grown at its right edge.
//!
//! Promises: the root of a tree of any size from its peaks alone, at most 64 hashes. A leaf is the hash of one record.
//! Refuses nothing and trusts nothing: it is arithmetic.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// The roots of the perfect subtrees that a tree is made of, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// A tree of `size` leaves with these peaks; `None` for another number of peaks than such a tree has.
    pub(super) fn restore(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = u32::try_from(peaks.len()).is_ok_and(|count| count == size.count_ones());
        fits.then_some(Self { size, peaks })
    }

    /// Puts one leaf at the right.
    pub(super) fn push(&mut self, data: &[u8]) {
        let mut node = leaf(data);
        // Each set bit of the size is a peak; the low ones are as high as the new node grows.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = inner(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// How many leaves it has.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The peaks, the largest first.
    pub(super) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The root; of an empty tree, the hash of nothing.
    pub(super) fn root(&self) -> Hash {
        let mut from_right = self.peaks.iter().rev();
        let Some(last) = from_right.next() else { return Sha256::digest([]).into() };
        from_right.fold(*last, |right, left| inner(left, &right))
    }
}

/// Leaves and nodes are told apart by their first byte, so that no node passes for a leaf.
fn leaf(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

fn inner(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::hex;

    /// The leaves and roots with which implementations of RFC 6962 are commonly tested.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_roots_are_those_of_rfc_6962() {
        let mut tree = Tree::default();
        for (size, root) in ROOTS.iter().enumerate() {
            assert_eq!(hex(&tree.root()), *root, "{size} leaves");
            if let Some(data) = LEAVES.get(size) {
                tree.push(data);
            }
        }
    }

    /// RFC 6962, section 2.1, as it stands there.
    fn defined(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => leaf(one),
            more => {
                let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
                inner(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn a_tree_of_any_size_has_the_root_of_the_definition_and_can_be_restored_from_its_peaks() {
        let leaves: Vec<_> = (0..70_u8).map(|n| vec![n; 32]).collect();
        let mut tree = Tree::default();
        for size in 0..leaves.len() {
            assert_eq!(tree.root(), defined(&leaves[..size]), "{size} leaves");
            let again = Tree::restore(tree.size(), tree.peaks().to_vec()).unwrap();
            assert_eq!(again, tree);
            assert_eq!(Tree::restore(tree.size() + 1, tree.peaks().to_vec()).is_some(), {
                (tree.size() + 1).count_ones() == tree.size().count_ones()
            });
            tree = again;
            tree.push(&leaves[size]);
        }
    }
}
