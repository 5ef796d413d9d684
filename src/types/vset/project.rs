//! REDUCE: vectors of fewer components (or of more), made with a fixed matrix.
//!
//! Row `i`, column `j` of the matrix is `±1/sqrt(columns)`, positive if `i` and `j` have an even number of ones in
//! common: a Hadamard pattern. It needs no memory, for a sign is a count of bits. A file may hold another matrix; that one
//! is kept as it is.
//!
//! Mirrors: `createProjectionMatrix` and `applyProjection` of vset.c. Differs: a matrix of more than 2^24 elements is
//! applied by a fast Walsh-Hadamard transform, whose last digits may differ: Redis multiplies up to 2^32 numbers there.

use crate::collections::run::Run;

/// Up to so many products are added up one by one, in Redis's order.
const PLAIN: usize = 1 << 24;

/// From vectors of one dimension to vectors of another, mostly a smaller one.
#[derive(Debug, Clone)]
pub struct Projection {
    input: u32,
    matrix: Option<Run<f32>>,
}

impl Projection {
    /// The fixed projection of vectors with so many components.
    pub fn new(input: u32) -> Projection {
        Projection {
            input,
            matrix: None,
        }
    }

    /// A projection with a matrix from elsewhere, row by row; `input` divides its length.
    pub fn of_matrix(input: u32, matrix: &[f32]) -> Projection {
        let columns = input as usize;
        let is_fixed = matrix.iter().enumerate().all(|(at, value)| {
            value.to_bits() == element(at / columns, at % columns, input).to_bits()
        });
        Projection {
            input,
            matrix: (!is_fixed).then(|| Run::from_slice(matrix)),
        }
    }

    /// Components of a vector before.
    pub fn input(&self) -> u32 {
        self.input
    }

    /// Bytes of a matrix that is kept.
    pub fn allocated_bytes(&self) -> usize {
        self.matrix.as_ref().map_or(0, Run::allocated_bytes)
    }

    /// An element of the matrix.
    pub fn element(&self, row: usize, column: usize) -> f32 {
        match &self.matrix {
            Some(matrix) => matrix[row * self.input as usize + column],
            None => element(row, column, self.input),
        }
    }

    /// The first `dim` components of a vector under the projection. O(input · dim) up to 2^24 products, then
    /// O(n log n).
    #[doc(alias = "applyProjection")]
    pub fn apply(&self, vector: &[f32], dim: usize) -> Vec<f32> {
        if let Some(matrix) = &self.matrix {
            let rows = matrix.chunks_exact(self.input as usize).take(dim);
            let product = |row: &[f32]| row.iter().zip(vector).fold(0.0, |sum, (a, b)| sum + a * b);
            return rows.map(product).collect();
        }
        let scale = scale(self.input);
        if vector.len() * dim > PLAIN {
            return transform(vector, dim, scale);
        }
        let mut sums = vec![0f32; dim];
        for (j, x) in vector.iter().enumerate() {
            // The product with the negative is the negative product, to the bit.
            let product = x * scale;
            for (i, sum) in sums.iter_mut().enumerate() {
                let odd = (i & j).count_ones() << 31;
                *sum += f32::from_bits(product.to_bits() ^ odd);
            }
        }
        sums
    }
}

fn scale(input: u32) -> f32 {
    (1.0 / f64::from(input).sqrt()) as f32
}

fn element(row: usize, column: usize, input: u32) -> f32 {
    match (row & column).count_ones() % 2 {
        0 => scale(input),
        _ => -scale(input),
    }
}

/// The same sums, in pairs of pairs.
fn transform(vector: &[f32], dim: usize, scale: f32) -> Vec<f32> {
    let size = vector.len().max(dim).next_power_of_two();
    let mut sums: Vec<f32> = vector.iter().map(|x| x * scale).collect();
    sums.resize(size, 0.0);
    let mut half = 1;
    while half < size {
        for block in sums.chunks_exact_mut(2 * half) {
            let (left, right) = block.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    sums.truncate(dim);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_say_the_same() {
        let vector: Vec<f32> = (0..100).map(|i| ((i * 37 % 19) as f32) - 9.0).collect();
        let fixed = Projection::new(100);
        let matrix: Vec<f32> = (0..60 * 100)
            .map(|at| fixed.element(at / 100, at % 100))
            .collect();
        let sums = fixed.apply(&vector, 60);
        let plain: Vec<f32> = matrix
            .chunks(100)
            .map(|row| row.iter().zip(&vector).fold(0.0, |sum, (a, b)| sum + a * b))
            .collect();
        assert_eq!(sums, plain);
        let fast = transform(&vector, 60, scale(100));
        assert!(fast.iter().zip(&sums).all(|(a, b)| (a - b).abs() < 1e-3));
        // The matrix of a file is recognised, another is kept.
        let told = Projection::of_matrix(100, &matrix);
        assert_eq!((told.allocated_bytes(), told.apply(&vector, 60)), (0, sums));
        let mut other = matrix;
        other[5] = 0.0;
        let told = Projection::of_matrix(100, &other);
        assert!(told.allocated_bytes() >= 24_000 && told.element(0, 5) == 0.0);
    }
}
