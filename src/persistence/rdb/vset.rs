//! A vector set in a file: the value of a module of Redis, which keeps its graph.
//!
//! ```text
//!   module 'vectorset'                                  64 bits
//!   d  n  quantisation | M << 8  flags                  numbers
//!   [input dimension  matrix]                           if flag 1: a number, d × input floats
//!   n × name  [attribute]  components  p  p × number    attribute if flag 2
//!       id
//!       level | format << 24
//!       per level from 0: links  capacity  id …  [farthest's place | its distance << 32]      the last since format 1
//!       length before normalisation | range << 32       floats as their bits
//!   0
//! ```
//!
//! Every field stands behind a byte that tells a number (2) from a string (5), so that a reader without the module can
//! walk over it. We write format 1, and read 0 as well.
//!
//! Mirrors: VectorSetRdbSave and VectorSetRdbLoad of vset.c, `hnsw_serialize_node` of hnsw.c.
//! Differs: the type is built in, so no module is needed to read it.

use std::io;

use super::{Decoder, Encoder, Error};
use crate::types::vset::build::{Builder, Farthest, Told, ToldLevel};
use crate::types::vset::graph::MAX_LEVEL;
use crate::types::vset::{
    DEFAULT_M, M_RANGE, MAX_DIM, Node, Projection, Quant, Shape, Stored, Vset,
};

/// The module's number: `vectorset` in six bits a letter, then its version, 0.
pub(super) const MODULE: u64 = 0xBDE7_2DA2_BB1E_B400;

/// The kind of a field: the byte in front of it.
mod field {
    pub const END: u64 = 0;
    pub const NUMBER: u64 = 2;
    pub const STRING: u64 = 5;
}

const WITH_PROJECTION: u64 = 1;
const WITH_ATTRIBUTES: u64 = 2;
/// The newest format of a node, which also names the farthest neighbour of each level.
const FORMAT: u64 = 1;

fn number(dec: &mut Decoder<'_>) -> Result<u64, Error> {
    match dec.length()? {
        field::NUMBER => dec.length(),
        _ => Err(dec.corrupt("Vector set with another field than a number")),
    }
}

fn string(dec: &mut Decoder<'_>, text: &mut Vec<u8>) -> Result<(), Error> {
    match dec.length()? {
        field::STRING => dec.string_into(text),
        _ => Err(dec.corrupt("Vector set with another field than a string")),
    }
}

fn dimension(dec: &mut Decoder<'_>) -> Result<u32, Error> {
    match number(dec)? {
        dim if dim >= 1 && dim <= MAX_DIM as u64 => Ok(dim as u32),
        _ => Err(dec.corrupt("Vector set dimension out of range")),
    }
}

/// Reads what follows the module's number. The seed decides on the levels of members to come.
#[doc(alias = "VectorSetRdbLoad")]
pub(super) fn read(dec: &mut Decoder<'_>, seed: u64) -> Result<Vset, Error> {
    let dim = dimension(dec)?;
    let count = number(dec)?;
    if count == 0 {
        return Err(dec.corrupt("Vector set without members"));
    }
    let config = number(dec)?;
    let Some(quant) = Quant::from_number(config & 0xFF) else {
        return Err(dec.corrupt("Vector set of an unknown quantisation"));
    };
    let m = match config >> 8 {
        // Files of the first version.
        0 => DEFAULT_M,
        m => match u16::try_from(m) {
            Ok(m) if M_RANGE.contains(&m) => m,
            _ => return Err(dec.corrupt("Vector set links per node out of range")),
        },
    };
    let flags = number(dec)?;
    let mut text = Vec::new();
    let mut projection = None;
    if flags & WITH_PROJECTION != 0 {
        let input = dimension(dec)?;
        string(dec, &mut text)?;
        let words = text.chunks_exact(4);
        let values = words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let matrix: Vec<f32> = values.collect();
        let wanted = u64::from(dim) * u64::from(input);
        if text.len() as u64 != wanted * 4 || matrix.iter().any(|value| !value.is_finite()) {
            return Err(dec.corrupt("Vector set projection of another size"));
        }
        projection = Some(Projection::of_matrix(input, &matrix));
    }
    let shape = Shape { quant, dim, m };
    // Levels shall not be the same in all sets of a file.
    let mut set = Builder::new(shape, projection, seed ^ dec.position() << 20);
    let mut node = NodeReader::default();
    for _ in 0..count {
        node.read(dec, flags, &mut set)?;
    }
    if dec.length()? != field::END {
        return Err(dec.corrupt("Vector set without its end"));
    }
    set.finish().map_err(|what| dec.corrupt(what))
}

/// A node's fields, in room that serves for all nodes.
#[derive(Default)]
struct NodeReader {
    name: Vec<u8>,
    attribute: Vec<u8>,
    bytes: Vec<u8>,
    levels: Vec<ToldLevel>,
}

impl NodeReader {
    #[doc(alias = "hnsw_insert_serialized")]
    fn read(&mut self, dec: &mut Decoder<'_>, flags: u64, set: &mut Builder) -> Result<(), Error> {
        string(dec, &mut self.name)?;
        self.attribute.clear();
        if flags & WITH_ATTRIBUTES != 0 {
            string(dec, &mut self.attribute)?;
        }
        string(dec, &mut self.bytes)?;
        let mut left = number(dec)?;
        let mut next = |dec: &mut Decoder<'_>| match left.checked_sub(1) {
            Some(rest) => {
                left = rest;
                number(dec)
            }
            None => Err(dec.corrupt("Vector set node with too few parameters")),
        };
        let id = next(dec)?;
        let word = next(dec)?;
        let (level, format) = (word & 0xFF, word >> 24);
        if level > u64::from(MAX_LEVEL) || format > FORMAT {
            return Err(dec.corrupt("Vector set node of an unknown kind"));
        }
        self.levels
            .resize_with(level as usize + 1, Default::default);
        for told in &mut self.levels {
            told.links.clear();
            let count = next(dec)?;
            told.capacity = next(dec)?;
            if count > told.capacity {
                return Err(dec.corrupt("Vector set node with more links than room"));
            }
            for _ in 0..count {
                told.links.push(next(dec)?);
            }
            told.farthest = None;
            if format >= 1 {
                let word = next(dec)?;
                told.farthest = Some(Farthest {
                    place: word as u32,
                    distance: f32::from_bits((word >> 32) as u32),
                });
            }
        }
        let last = next(dec)?;
        if left != 0 {
            return Err(dec.corrupt("Vector set node with too many parameters"));
        }
        let told = Told {
            id,
            name: &self.name,
            attribute: &self.attribute,
            stored: Stored {
                bytes: &self.bytes,
                l2: f32::from_bits(last as u32),
                range: f32::from_bits((last >> 32) as u32),
            },
            levels: &self.levels,
        };
        set.node(told).map_err(|what| dec.corrupt(what))
    }
}

fn put_number(enc: &mut Encoder<'_>, number: u64) {
    enc.length(field::NUMBER);
    enc.length(number);
}

fn put_string(enc: &mut Encoder<'_>, text: &[u8]) {
    enc.length(field::STRING);
    enc.string(text);
}

fn put_floats(low: u32, high: f32) -> u64 {
    u64::from(low) | u64::from(high.to_bits()) << 32
}

/// Writes a set behind the type byte.
#[doc(alias = "VectorSetRdbSave")]
pub(super) fn write(enc: &mut Encoder<'_>, set: &Vset) -> io::Result<()> {
    let Shape { quant, dim, m } = set.shape();
    enc.length(MODULE);
    put_number(enc, dim.into());
    put_number(enc, set.len() as u64);
    put_number(enc, quant as u64 | u64::from(m) << 8);
    let mut flags = 0;
    if set.projection().is_some() {
        flags |= WITH_PROJECTION;
    }
    if set.attributes() > 0 {
        flags |= WITH_ATTRIBUTES;
    }
    put_number(enc, flags);
    if let Some(projection) = set.projection() {
        let columns = projection.input() as usize;
        let places = (0..dim as usize).flat_map(|row| (0..columns).map(move |at| (row, at)));
        let matrix: Vec<u8> = places
            .flat_map(|(row, column)| projection.element(row, column).to_le_bytes())
            .collect();
        put_number(enc, columns as u64);
        put_string(enc, &matrix);
    }
    let ids = set.ids();
    for node in set.nodes() {
        write_node(enc, node, flags, &ids);
        enc.spill()?;
    }
    enc.length(field::END);
    Ok(())
}

#[doc(alias = "hnsw_serialize_node")]
fn write_node(enc: &mut Encoder<'_>, node: Node<'_>, flags: u64, ids: &[u64]) {
    let stored = node.stored();
    put_string(enc, node.name());
    if flags & WITH_ATTRIBUTES != 0 {
        put_string(enc, node.attribute().unwrap_or_default());
    }
    put_string(enc, stored.bytes);
    let levels = 0..=node.level();
    let links: usize = levels.clone().map(|level| node.links(level).len()).sum();
    // Number, level, and the last; per level: two counts, links, the farthest.
    put_number(enc, (3 + 3 * levels.clone().count() + links) as u64);
    put_number(enc, node.id());
    put_number(enc, u64::from(node.level()) | FORMAT << 24);
    for level in levels {
        let links = node.links(level);
        put_number(enc, links.len() as u64);
        put_number(enc, node.capacity(level) as u64);
        for slot in links {
            put_number(enc, ids[*slot as usize]);
        }
        let (place, distance) = node.worst(level);
        put_number(enc, put_floats(place as u32, distance));
    }
    put_number(enc, put_floats(stored.l2.to_bits(), stored.range));
}
