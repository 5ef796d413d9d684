//! Vectors as a set stores them, and how far they are from each other.
//!
//! ```text
//!   row    [ range f32 | l2 f32 | components ]       little-endian
//!
//!   f32    4 bytes each, of length 1 together         distance 1 - a·b
//!   q8     1 byte each: round(x * 127 / range)        distance 1 - (Σ qa·qb) * (ra/127 * rb/127), 0 to 2
//!   bin    1 bit each: x > 0; words of 64 bits        distance 2 * differing bits / d
//! ```
//!
//! Vectors are normalised before they are stored; `l2` is the length they had, which VEMB multiplies by. `range` is the
//! largest magnitude among the components (q8 only). A vector of zeros is not normalised, and its distance to all
//! vectors, itself included, is 1.
//!
//! The arithmetic is Redis's, step by step in single precision, so that scores of q8 and bin are equal to the bit.
//!
//! Mirrors: `quantize_to_q8`, `quantize_to_bin`, `hnsw_normalize_vector` and `hnsw_distance` of hnsw.c.

use crate::collections::kernels::Kernel;

/// From so many components on the last step of a distance of q8 is rounded once, not twice: there Redis's loops are
/// compiled for processors that multiply and add in one.
const FUSED: usize = 32;

/// Rows measured at once.
pub(super) const MANY: usize = 16;

/// Bytes of a row before its components.
const HEAD: usize = 8;

/// How components are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Quant {
    /// As they come (NOQUANT).
    F32 = 0,
    /// In eight bits, the default.
    Q8 = 1,
    /// By their sign alone.
    Bin = 2,
}

impl Quant {
    /// The type a number in a file stands for.
    pub fn from_number(number: u64) -> Option<Quant> {
        match number {
            0 => Some(Quant::F32),
            1 => Some(Quant::Q8),
            2 => Some(Quant::Bin),
            _ => None,
        }
    }

    /// The name that VINFO and VEMB RAW tell.
    #[doc(alias = "vectorSetGetQuantName")]
    pub fn name(self) -> &'static str {
        match self {
            Quant::F32 => "f32",
            Quant::Q8 => "int8",
            Quant::Bin => "bin",
        }
    }

    /// Bytes that so many components take.
    #[doc(alias = "hnsw_quants_bytes")]
    pub fn bytes(self, dim: usize) -> usize {
        match self {
            Quant::F32 => dim * 4,
            Quant::Q8 => dim,
            Quant::Bin => dim.div_ceil(64) * 8,
        }
    }

    /// Bytes of a row.
    pub(super) fn row_bytes(self, dim: usize) -> usize {
        HEAD + self.bytes(dim)
    }
}

/// A stored vector.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The components.
    pub bytes: &'a [u8],
    /// Length of the vector before it was normalised; 1 for a vector of zeros.
    pub l2: f32,
    /// Largest magnitude of a component; 0 unless [`Quant::Q8`].
    pub range: f32,
}

impl<'a> Stored<'a> {
    /// The vector in a row.
    pub(super) fn of_row(row: &'a [u8]) -> Stored<'a> {
        Stored {
            range: float_at(row, 0),
            l2: float_at(row, 4),
            bytes: &row[HEAD..],
        }
    }

    /// The row of the vector, in place of what `row` holds.
    pub(super) fn write_row(self, row: &mut Vec<u8>) {
        row.clear();
        row.extend_from_slice(&self.range.to_le_bytes());
        row.extend_from_slice(&self.l2.to_le_bytes());
        row.extend_from_slice(self.bytes);
    }

    /// The row of the vector.
    #[cfg(test)]
    pub(super) fn to_row(self) -> Vec<u8> {
        let mut row = vec![];
        self.write_row(&mut row);
        row
    }

    /// The components as numbers, of their original length except for [`Quant::Bin`]. O(d).
    #[doc(alias = "hnsw_get_node_vector")]
    pub fn components(&self, quant: Quant, dim: usize) -> Vec<f32> {
        match quant {
            Quant::F32 => {
                let words = self.bytes.chunks_exact(4).take(dim);
                words.map(|word| float_at(word, 0) * self.l2).collect()
            }
            Quant::Q8 => {
                let bytes = self.bytes.iter().take(dim);
                bytes
                    .map(|byte| f32::from(*byte as i8) * self.range / 127.0 * self.l2)
                    .collect()
            }
            Quant::Bin => (0..dim)
                .map(|j| match self.bytes[j / 8] >> (j % 8) & 1 {
                    1 => 1.0,
                    _ => -1.0,
                })
                .collect(),
        }
    }
}

#[inline]
fn float_at(bytes: &[u8], at: usize) -> f32 {
    let word = bytes[at..at + 4].try_into().expect("four bytes");
    f32::from_le_bytes(word)
}

/// Brings a vector to length 1; the length it had, or 1 for a vector of zeros.
#[doc(alias = "hnsw_normalize_vector")]
pub fn normalise(vector: &mut [f32]) -> f32 {
    let mut sum = 0f32;
    let blocks = vector.chunks_exact(4);
    let rest = blocks.remainder();
    // Four at a time, in this order: what a sum of floats comes to depends on it.
    for x in blocks {
        sum += x[0] * x[0] + x[1] * x[1] + x[2] * x[2] + x[3] * x[3];
    }
    for x in rest {
        sum += x * x;
    }
    if sum == 0.0 {
        return 1.0;
    }
    let l2 = sum.sqrt();
    for x in vector {
        *x /= l2;
    }
    l2
}

/// The row of a vector: normalised, then quantised.
pub(super) fn encode(quant: Quant, mut vector: Vec<f32>) -> Vec<u8> {
    let l2 = normalise(&mut vector);
    let mut row = vec![0; quant.row_bytes(vector.len())];
    let mut range = 0f32;
    let out = &mut row[HEAD..];
    match quant {
        Quant::F32 => {
            for (word, x) in out.chunks_exact_mut(4).zip(&vector) {
                word.copy_from_slice(&x.to_le_bytes());
            }
        }
        Quant::Q8 => {
            range = vector.iter().fold(0f32, |max, x| x.abs().max(max));
            if range > 0.0 {
                let scale = 127.0 / range;
                for (byte, x) in out.iter_mut().zip(&vector) {
                    // `round` rounds half away from zero.
                    *byte = (x * scale).round() as i8 as u8;
                }
            }
        }
        Quant::Bin => {
            for (j, x) in vector.iter().enumerate() {
                out[j / 8] |= u8::from(*x > 0.0) << (j % 8);
            }
        }
    }
    row[..4].copy_from_slice(&range.to_le_bytes());
    row[4..HEAD].copy_from_slice(&l2.to_le_bytes());
    row
}

/// Measures rows against one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure<'a> {
    row: &'a [u8],
    quant: Quant,
    kernel: Kernel,
    /// q8: the range of the row, by 127. bin: the dimension.
    factor: f32,
}

impl<'a> Measure<'a> {
    #[inline]
    pub(super) fn new(kernel: Kernel, quant: Quant, dim: u32, row: &'a [u8]) -> Measure<'a> {
        let factor = match quant {
            Quant::F32 => 0.0,
            Quant::Q8 => float_at(row, 0) / 127.0,
            Quant::Bin => dim as f32,
        };
        Measure {
            row: &row[HEAD..],
            quant,
            kernel,
            factor,
        }
    }

    /// The distance to a row of q8 from the sum of products.
    #[inline]
    fn scaled(&self, dot: i32, row: &[u8]) -> f32 {
        let scale = self.factor * (float_at(row, 0) / 127.0);
        let dot = dot as f32;
        // A range of 0 makes the product 0, and so the distance 1.
        let distance = match self.row.len() {
            FUSED.. => (-dot).mul_add(scale, 1.0),
            _ => 1.0 - dot * scale,
        };
        distance.clamp(0.0, 2.0)
    }

    /// The distances to up to [`MANY`] rows.
    #[inline]
    pub(super) fn many(&self, rows: &[&[u8]], distances: &mut [f32; MANY]) {
        if self.quant != Quant::Q8 {
            for (row, distance) in rows.iter().zip(distances) {
                *distance = self.to(row);
            }
            return;
        }
        let (mut components, mut dots) = ([&[][..]; MANY], [0; MANY]);
        for (row, components) in rows.iter().zip(&mut components) {
            *components = &row[HEAD..];
        }
        let count = rows.len().min(MANY);
        let dots = &mut dots[..count];
        self.kernel.dots_i8(self.row, &components[..count], dots);
        for ((dot, row), distance) in dots.iter().zip(rows).zip(distances) {
            *distance = self.scaled(*dot, row);
        }
    }

    /// The distance to a row: 0 for the same direction, 2 for the opposite one.
    #[doc(alias = "hnsw_distance")]
    #[inline]
    pub(super) fn to(&self, row: &[u8]) -> f32 {
        let other = &row[HEAD..];
        match self.quant {
            Quant::F32 => 1.0 - self.kernel.dot_f32(self.row, other),
            Quant::Q8 => self.scaled(self.kernel.dot_i8(self.row, other), row),
            Quant::Bin => {
                let bits = self.kernel.differing_bits(self.row, other);
                bits as f32 * 2.0 / self.factor
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(quant: Quant, a: &[f32], b: &[f32]) -> f32 {
        let (x, y) = (encode(quant, a.to_vec()), encode(quant, b.to_vec()));
        let distances: Vec<f32> = Kernel::all()
            .into_iter()
            .map(|kernel| Measure::new(kernel, quant, a.len() as u32, &x).to(&y))
            .collect();
        assert!(distances.iter().all(|d| (d - distances[0]).abs() < 1e-6));
        distances[0]
    }

    #[test]
    fn distances_of_known_directions() {
        for quant in [Quant::F32, Quant::Q8, Quant::Bin] {
            let d = |a: &[f32], b: &[f32]| distance(quant, a, b);
            assert!(
                (d(&[1.0, 2.0], &[2.0, 4.0]) - 0.0).abs() < 1e-2,
                "{quant:?}"
            );
            assert!(
                (d(&[1.0, 2.0], &[-1.0, -2.0]) - 2.0).abs() < 1e-2,
                "{quant:?}"
            );
            assert!(
                (d(&[1.0, 1.0], &[1.0, -1.0]) - 1.0).abs() < 1e-2,
                "{quant:?}"
            );
        }
        // A vector of zeros is as far from itself as from all others.
        for quant in [Quant::F32, Quant::Q8] {
            assert_eq!(distance(quant, &[0.0, 0.0], &[0.0, 0.0]), 1.0);
            assert_eq!(distance(quant, &[0.0, 0.0], &[1.0, 0.0]), 1.0);
        }
    }

    #[test]
    fn components_come_back_with_their_length() {
        let vector = [3.0, -4.0, 0.0, 0.5, 12.0];
        for (quant, error) in [(Quant::F32, 1e-5), (Quant::Q8, 0.06)] {
            let row = encode(quant, vector.to_vec());
            let stored = Stored::of_row(&row);
            assert_eq!(stored.bytes.len(), quant.bytes(5));
            assert_eq!(stored.to_row(), row);
            let back = stored.components(quant, 5);
            let far = back.iter().zip(&vector).any(|(a, b)| (a - b).abs() > error);
            assert!(!far, "{quant:?} {back:?}");
        }
        let row = encode(Quant::Bin, vector.to_vec());
        let signs = Stored::of_row(&row).components(Quant::Bin, 5);
        assert_eq!(signs, [1.0, -1.0, -1.0, 1.0, 1.0]);
    }
}
