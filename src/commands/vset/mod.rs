//! Vector sets: VADD and VREM change them, VSIM searches, and the rest describe members and their graph.
//!
//! In Redis these are the commands of a module, which shows: they publish no events but `new`, belong to no ACL
//! category of their own, and check their words before they look at the key, or after, each in its own way.
//!
//! Mirrors: vset.c of modules/vector-sets; the type itself is `types/vset`.
//! Differs: a VADD that changes a member is propagated; Redis propagates only those that add one.

mod read;
mod search;
mod write;

use super::prelude::*;
use crate::types::Vset;
use crate::types::vset::{MAX_DIM, MAX_PRODUCTS, Projection};
use crate::util::num;

pub const COMMANDS: &[&Command] = &[
    &write::VADD,
    &read::VCARD,
    &read::VDIM,
    &read::VEMB,
    &read::VGETATTR,
    &read::VINFO,
    &read::VISMEMBER,
    &read::VLINKS,
    &read::VRANDMEMBER,
    &read::VRANGE,
    &write::VREM,
    &write::VSETATTR,
    &search::VSIM,
];

/// The key flags that a module declares: its commands may do anything to their keys.
const KEYS: &[KeySpec] = &[KeySpec::at(1, &[Rw, Access, Update])];

/// A vector in the words of a request.
struct Given {
    vector: Vec<f32>,
    /// The dimension to bring it to.
    reduce: Option<i64>,
}

/// Takes `[REDUCE dim] (FP32 blob | VALUES n v…)`. Numbers that are infinite in single precision are refused: distances
/// to them would be none.
#[doc(alias = "parseVector")]
fn vector(args: &mut Args<'_>, may_reduce: bool) -> Result<Given> {
    let bad = || Error::once("invalid vector specification");
    let mut reduce = None;
    if may_reduce && args.len() > 2 && args.word("REDUCE") {
        let dim = args.integer().map_err(|_| bad())?;
        if !(1..=MAX_DIM as i64).contains(&dim) {
            return Err(bad());
        }
        reduce = Some(dim);
    }
    let vector: Vec<f32> = if args.word("FP32") {
        let blob = args.next().ok_or_else(bad)?;
        if blob.is_empty() || !blob.len().is_multiple_of(4) || blob.len() > 4 * MAX_DIM {
            return Err(bad());
        }
        let words = blob.chunks_exact(4);
        words
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect()
    } else if args.word("VALUES") {
        let dim = args.integer().map_err(|_| bad())?;
        if !(1..=MAX_DIM as i64).contains(&dim) {
            return Err(bad());
        }
        let words = args.take(dim as usize).map_err(|_| bad())?;
        let values = words.map(|word| num::parse_f64(word).map(|value| value as f32));
        values.collect::<Option<_>>().ok_or_else(bad)?
    } else {
        return Err(bad());
    };
    if vector.iter().any(|value| !value.is_finite()) {
        return Err(bad());
    }
    if reduce.is_some_and(|dim| dim * vector.len() as i64 > MAX_PRODUCTS) {
        return Err(bad());
    }
    Ok(Given { vector, reduce })
}

fn wrong_dimension(got: usize, has: u32) -> Error {
    Error::once(format!(
        "Vector dimension mismatch - got {got} but set has {has}"
    ))
}

/// Applies a set's projection to a vector of the dimension it expects.
fn project(projection: &Projection, vector: &[f32], dim: u32) -> Result<Vec<f32>> {
    let (got, expected) = (vector.len(), projection.input());
    if got != expected as usize {
        return Err(Error::once(format!(
            "Input dimension mismatch for projection - got {got} but projection expects {expected}"
        )));
    }
    Ok(projection.apply(vector, dim as usize))
}

/// The set under a key, for a command that reads. It is a snapshot, which costs a count.
fn set_or_miss(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Option<Vset>> {
    let found = ctx.state.keyspace[ctx.db].get_as::<Vset>(key)?.cloned();
    if found.is_none() {
        ctx.missed(key);
    }
    Ok(found)
}
