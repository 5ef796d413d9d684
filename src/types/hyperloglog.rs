//! HyperLogLog: how many different elements were seen, within 0.81 %, in 12 KB at most.
//!
//! Each element is hashed; 14 bits choose one of 16,384 registers, which keeps the longest run of zeros
//! (plus one) seen at the start of the other 50. Long runs are rare, so they tell of many elements.
//!
//! ```text
//!   value = header, then registers                          dense   16384 × 6 bits, 12,288 bytes
//!   ┌────────┬──────────┬───┬───────────────────┐
//!   │ "HYLL" │ encoding │ 0 │ cardinality u64le │           sparse  runs, one or two bytes each:
//!   └────────┴──────────┴───┴───────────────────┘             00llllll            1–64 registers at 0
//!     4        1          3   8: the last count,              01llllll llllllll   1–16384 registers at 0
//!                             stale if the top bit is set     1vvvvvll            1–4 registers at 1–32
//! ```
//!
//! It is a plain string to the rest of the server, so everything here works on byte vectors; a sparse one
//! becomes dense when it outgrows `hll-sparse-max-bytes` or when a register exceeds 32.
//!
//! Invariant: a sparse body's runs cover 16,384 registers, no more and no less. A client can SET any bytes,
//! so every reader checks it and returns [`Corrupted`] where it does not hold.
//!
//! Mirrors: hyperloglog.c, byte for byte: the same insertions give the same string. The estimator is
//! Ertl's ("New cardinality estimation algorithms for HyperLogLog sketches", 2017).
//! Differs: a run beyond the last register, and a two-byte run cut in half, are found everywhere.

use crate::util::rng::Rng;

/// Bits of the hash that choose a register.
const P: u32 = 14;
/// Bits of the hash that are searched for zeros.
const Q: u32 = 64 - P;

/// Registers in a HyperLogLog.
#[doc(alias = "HLL_REGISTERS")]
pub const REGISTERS: usize = 1 << P;

const HEADER: usize = 16;
/// A register has six bits.
const REGISTER_MAX: u8 = 63;
const DENSE_SIZE: usize = HEADER + REGISTERS * 6 / 8;

const ENCODING_AT: usize = 4;
const CARDINALITY: std::ops::Range<usize> = 8..16;
/// The top bit of the cached cardinality's last byte.
const STALE: u8 = 0x80;

/// How the registers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Dense,
    Sparse,
}

impl Encoding {
    /// As PFDEBUG ENCODING names it.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Dense => "dense",
            Encoding::Sparse => "sparse",
        }
    }
}

/// The string is no HyperLogLog: `WRONGTYPE Key is not a valid HyperLogLog string value.`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotHyperLogLog;

/// It claims to be one, but its sparse body does not add up: `INVALIDOBJ Corrupted HLL object detected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupted;

/// A new, empty one: sparse, one run of zeros, its cardinality cached as 0.
#[doc(alias = "createHLLObject")]
pub fn create() -> Vec<u8> {
    let mut hll = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    Run::Zeros(REGISTERS).write(&mut hll);
    hll
}

/// Checks what can be checked at a glance: the magic, the encoding, and a dense one's length. All other
/// functions here expect a string that passed. O(1).
#[doc(alias = "isHLLObjectOrReply")]
pub fn validate(string: &[u8]) -> Result<Encoding, NotHyperLogLog> {
    match string {
        [b'H', b'Y', b'L', b'L', 0, ..] if string.len() == DENSE_SIZE => Ok(Encoding::Dense),
        [b'H', b'Y', b'L', b'L', 1, ..] if string.len() >= HEADER => Ok(Encoding::Sparse),
        _ => Err(NotHyperLogLog),
    }
}

fn encoding(hll: &[u8]) -> Result<Encoding, Corrupted> {
    validate(hll).map_err(|_| Corrupted)
}

/// The cardinality as last counted, if nothing was added since.
#[doc(alias = "HLL_VALID_CACHE")]
pub fn cached_count(hll: &[u8]) -> Option<u64> {
    let bytes = hll.get(CARDINALITY)?.first_chunk()?;
    (bytes[7] & STALE == 0).then(|| u64::from_le_bytes(*bytes))
}

/// Remembers a cardinality for [`cached_count`].
pub fn cache_count(hll: &mut [u8], count: u64) {
    if let Some(bytes) = hll.get_mut(CARDINALITY) {
        bytes.copy_from_slice(&count.to_le_bytes());
    }
}

/// Marks the cached cardinality as stale.
#[doc(alias = "HLL_INVALIDATE_CACHE")]
pub fn invalidate_cache(hll: &mut [u8]) {
    if let Some(last) = hll.get_mut(CARDINALITY.end - 1) {
        *last |= STALE;
    }
}

/// Adds an element; true if a register grew, and with it perhaps the count: then the cached one is stale.
/// (PFADD marks it stale on a key it creates, too, elements or none: [`invalidate_cache`].)
///
/// O(1) when dense, O(`sparse_max_bytes`) when sparse. May change the encoding and the length.
#[doc(alias = "hllAdd")]
pub fn add(hll: &mut Vec<u8>, element: &[u8], sparse_max_bytes: usize) -> Result<bool, Corrupted> {
    let (register, value) = place(element);
    set_register(hll, register, value, sparse_max_bytes)
}

/// The cardinality, counted anew. O(registers).
#[doc(alias = "hllCount")]
pub fn count(hll: &[u8]) -> Result<u64, Corrupted> {
    let mut histogram = [0; 64];
    match encoding(hll)? {
        Encoding::Dense => dense_histogram(&hll[HEADER..], &mut histogram),
        Encoding::Sparse => {
            for_each_run(&hll[HEADER..], |_, length, value| {
                histogram[usize::from(value)] += length as u32;
            })?;
        }
    }
    Ok(estimate(&histogram))
}

/// Makes a sparse one dense; false if it was already. The cached cardinality stays as it is.
#[doc(alias = "hllSparseToDense")]
pub fn to_dense(hll: &mut Vec<u8>) -> Result<bool, Corrupted> {
    if encoding(hll)? == Encoding::Dense {
        return Ok(false);
    }
    let mut dense = vec![0; DENSE_SIZE];
    dense[..HEADER].copy_from_slice(&hll[..HEADER]);
    dense[ENCODING_AT] = 0;
    let registers = &mut dense[HEADER..];
    for_each_run(&hll[HEADER..], |first, length, value| {
        if value > 0 {
            for register in first..first + length {
                dense_write(registers, register, value);
            }
        }
    })?;
    *hll = dense;
    Ok(true)
}

/// The runs of a sparse one as PFDEBUG DECODE shows them: `Z:` and `z:` for zeros in two bytes and in one,
/// `v:value,length`. `None` for a dense one.
pub fn decode(hll: &[u8]) -> Result<Option<String>, Corrupted> {
    if encoding(hll)? == Encoding::Dense {
        return Ok(None);
    }
    let (mut words, mut at) = (Vec::new(), HEADER);
    while at < hll.len() {
        let (run, size) = Run::read(hll, at).ok_or(Corrupted)?;
        words.push(match (run, size) {
            (Run::Zeros(length), 1) => format!("z:{length}"),
            (Run::Zeros(length), _) => format!("Z:{length}"),
            (Run::Values(value, length), _) => format!("v:{value},{length}"),
        });
        at += size;
    }
    Ok(Some(words.join(" ")))
}

/// All registers, a byte each: what several HyperLogLogs are merged in. 16 KB on the heap.
#[derive(Debug, Clone)]
pub struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Self::new()
    }
}

impl Registers {
    /// All zero: the union of nothing.
    pub fn new() -> Self {
        Registers(Box::new([0; REGISTERS]))
    }

    /// The values, as PFDEBUG GETREG lists them.
    pub fn values(&self) -> &[u8] {
        &self.0[..]
    }

    /// Raises each register to that of `hll`: afterwards this is the union. O(registers).
    #[doc(alias = "hllMerge")]
    pub fn merge(&mut self, hll: &[u8]) -> Result<(), Corrupted> {
        let body = hll.get(HEADER..).ok_or(Corrupted)?;
        match encoding(hll)? {
            Encoding::Dense => {
                let groups = self.0.as_chunks_mut::<4>().0.iter_mut();
                for (group, bytes) in groups.zip(body.as_chunks::<3>().0) {
                    for (mine, theirs) in group.iter_mut().zip(unpack(*bytes)) {
                        *mine = theirs.max(*mine);
                    }
                }
                Ok(())
            }
            Encoding::Sparse => for_each_run(body, |first, length, value| {
                for mine in &mut self.0[first..first + length] {
                    *mine = value.max(*mine);
                }
            }),
        }
    }

    /// The cardinality of the union.
    #[doc(alias = "hllRawRegHisto")]
    pub fn count(&self) -> u64 {
        let mut histogram = [0; 64];
        for &value in self.values() {
            histogram[usize::from(value & REGISTER_MAX)] += 1;
        }
        estimate(&histogram)
    }

    /// Raises the registers of `target` to these, and marks its cached count stale; PFMERGE makes the target
    /// dense before if one of its sources is.
    pub fn store(&self, target: &mut Vec<u8>, sparse_max_bytes: usize) -> Result<(), Corrupted> {
        for (register, &value) in self.0.iter().enumerate() {
            if value > 0 {
                set_register(target, register, value, sparse_max_bytes)?;
            }
        }
        invalidate_cache(target);
        Ok(())
    }
}

/// The register an element belongs to, and the length of its run of zeros with the one that ends it.
#[doc(alias = "hllPatLen")]
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur_hash_64a(element, 0xadc8_3b19);
    let register = hash as usize & (REGISTERS - 1);
    // The bit above ends the longest run there can be.
    let zeros = (hash >> P | 1 << Q).trailing_zeros();
    (register, zeros as u8 + 1)
}

/// MurmurHash2, 64 bits, by Austin Appleby.
#[doc(alias = "MurmurHash64A")]
pub fn murmur_hash_64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut h = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        h = (h ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        h = (h ^ u64::from_le_bytes(last)).wrapping_mul(M);
    }
    h ^= h >> R;
    h = h.wrapping_mul(M);
    h ^ (h >> R)
}

/// The cardinality from the number of registers at each value.
fn estimate(histogram: &[u32; 64]) -> u64 {
    const ALPHA_INFINITY: f64 = 0.721_347_520_444_481_7;
    let m = REGISTERS as f64;
    let full = f64::from(histogram[Q as usize + 1]);
    let mut z = m * tau((m - full) / m);
    for &registers in histogram[1..=Q as usize].iter().rev() {
        z = (z + f64::from(registers)) * 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    (ALPHA_INFINITY * m * m / z).round() as u64
}

/// Corrects for registers still at zero.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// Corrects for registers that can grow no more.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

/// Raises one register; true if it was lower.
fn set_register(
    hll: &mut Vec<u8>,
    register: usize,
    value: u8,
    sparse_max_bytes: usize,
) -> Result<bool, Corrupted> {
    let raised = match encoding(hll)? {
        Encoding::Dense => dense_raise(&mut hll[HEADER..], register, value),
        Encoding::Sparse => sparse_raise(hll, register, value, sparse_max_bytes)?,
    };
    if raised {
        invalidate_cache(hll);
    }
    Ok(raised)
}

// Dense: four registers in three bytes, the first in the lowest bits.

fn unpack(bytes: [u8; 3]) -> [u8; 4] {
    let [a, b, c] = bytes;
    [
        a & 63,
        (a >> 6 | b << 2) & 63,
        (b >> 4 | c << 4) & 63,
        c >> 2,
    ]
}

fn dense_read(registers: &[u8], register: usize) -> u8 {
    let at = register / 4 * 3;
    unpack([registers[at], registers[at + 1], registers[at + 2]])[register % 4]
}

fn dense_write(registers: &mut [u8], register: usize, value: u8) {
    let at = register / 4 * 3;
    let shift = 6 * (register % 4);
    let bytes = &mut registers[at..at + 3];
    let mut group = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    group = group & !(u32::from(REGISTER_MAX) << shift) | u32::from(value & REGISTER_MAX) << shift;
    bytes.copy_from_slice(&group.to_le_bytes()[..3]);
}

#[doc(alias = "hllDenseSet")]
fn dense_raise(registers: &mut [u8], register: usize, value: u8) -> bool {
    let higher = value > dense_read(registers, register);
    if higher {
        dense_write(registers, register, value);
    }
    higher
}

/// Four counters in turn, because neighbours are often equal and a counter would wait for itself.
#[doc(alias = "hllDenseRegHisto")]
fn dense_histogram(registers: &[u8], histogram: &mut [u32; 64]) {
    let mut parts = [[0u32; 64]; 4];
    for bytes in registers.as_chunks::<3>().0 {
        for (part, value) in parts.iter_mut().zip(unpack(*bytes)) {
            part[usize::from(value)] += 1;
        }
    }
    for (value, total) in histogram.iter_mut().enumerate() {
        *total += parts.iter().map(|part| part[value]).sum::<u32>();
    }
}

// Sparse: a list of runs.

/// One run of a sparse body.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// So many registers at zero, 1 to 16,384.
    Zeros(usize),
    /// A value of 1 to 32, in 1 to 4 registers.
    Values(u8, usize),
}

/// Above this, a run of zeros takes two bytes.
const SHORT_ZEROS: usize = 64;
const VALUE_MAX: u8 = 32;
const VALUES_MAX: usize = 4;

impl Run {
    /// The run at `at` and its size in bytes; `None` at the end or within a cut run.
    fn read(bytes: &[u8], at: usize) -> Option<(Run, usize)> {
        let first = *bytes.get(at)?;
        let low = usize::from(first & 0x3f);
        Some(match first >> 6 {
            0 => (Run::Zeros(low + 1), 1),
            1 => (
                Run::Zeros((low << 8 | usize::from(*bytes.get(at + 1)?)) + 1),
                2,
            ),
            _ => (
                Run::Values((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1),
                1,
            ),
        })
    }

    fn length(self) -> usize {
        match self {
            Run::Zeros(length) | Run::Values(_, length) => length,
        }
    }

    fn value(self) -> u8 {
        match self {
            Run::Zeros(_) => 0,
            Run::Values(value, _) => value,
        }
    }

    /// The same value over another length.
    fn with_length(self, length: usize) -> Run {
        match self {
            Run::Zeros(_) => Run::Zeros(length),
            Run::Values(value, _) => Run::Values(value, length),
        }
    }

    /// Appends the run, unless it is empty, in its shortest form.
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Run::Zeros(0) | Run::Values(_, 0) => {}
            Run::Zeros(length @ 1..=SHORT_ZEROS) => out.push(length as u8 - 1),
            Run::Zeros(length) => {
                out.extend([0x40 | ((length - 1) >> 8) as u8, (length - 1) as u8])
            }
            Run::Values(value, length) => out.push(0x80 | (value - 1) << 2 | (length as u8 - 1)),
        }
    }
}

/// Hands out each run of a sparse body as first register, length and value; never past the last register.
fn for_each_run(body: &[u8], mut visit: impl FnMut(usize, usize, u8)) -> Result<(), Corrupted> {
    let (mut at, mut register) = (0, 0);
    while at < body.len() {
        let (run, size) = Run::read(body, at).ok_or(Corrupted)?;
        let length = run.length();
        if length > REGISTERS - register {
            return Err(Corrupted);
        }
        visit(register, length, run.value());
        register += length;
        at += size;
    }
    if register == REGISTERS {
        Ok(())
    } else {
        Err(Corrupted)
    }
}

/// Raises a register in place: the run around it is split in up to three, and what then fits together is
/// joined. Becomes dense for a value above 32, or if it would grow beyond `max_bytes`.
#[doc(alias = "hllSparseSet")]
fn sparse_raise(
    hll: &mut Vec<u8>,
    register: usize,
    value: u8,
    max_bytes: usize,
) -> Result<bool, Corrupted> {
    if value > VALUE_MAX {
        return promote(hll, register, value);
    }
    let (mut at, mut first) = (HEADER, 0);
    let mut previous = HEADER;
    let (run, size) = loop {
        let (run, size) = Run::read(hll, at).ok_or(Corrupted)?;
        if register < first + run.length() {
            break (run, size);
        }
        previous = at;
        at += size;
        first += run.length();
    };
    if run.value() >= value {
        return Ok(false);
    }

    let mut pieces = Vec::with_capacity(5);
    run.with_length(register - first).write(&mut pieces);
    Run::Values(value, 1).write(&mut pieces);
    run.with_length(first + run.length() - 1 - register)
        .write(&mut pieces);
    if pieces.len() > size && hll.len() + pieces.len() - size > max_bytes {
        return promote(hll, register, value);
    }
    hll.splice(at..at + size, pieces);
    join_neighbours(hll, previous);
    Ok(true)
}

fn promote(hll: &mut Vec<u8>, register: usize, value: u8) -> Result<bool, Corrupted> {
    to_dense(hll)?;
    Ok(dense_raise(&mut hll[HEADER..], register, value))
}

/// Joins runs of one value, looking at five runs from `at` on: a change reaches no farther.
fn join_neighbours(hll: &mut Vec<u8>, mut at: usize) {
    for _ in 0..5 {
        let Some((run, size)) = Run::read(hll, at) else {
            return;
        };
        if let Run::Values(value, length) = run
            && let Some((Run::Values(next, more), _)) = Run::read(hll, at + size)
            && value == next
            && length + more <= VALUES_MAX
        {
            let mut joined = Vec::with_capacity(1);
            Run::Values(value, length + more).write(&mut joined);
            hll.splice(at..at + 2, joined);
        } else {
            at += size;
        }
    }
}

/// The work of PFSELFTEST: random registers are read back, then ten million elements are counted within bounds, alike
/// in both encodings while there are two. About a second; the error says what went wrong.
#[doc(alias = "pfselftestCommand")]
pub fn self_test(seed: u64, sparse_max_bytes: usize) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut dense = create();
    to_dense(&mut dense).map_err(|_| "TESTFAILED a new HyperLogLog is corrupted")?;
    let mut expected = vec![0; REGISTERS];
    for _ in 0..1000 {
        for (register, value) in expected.iter_mut().enumerate() {
            *value = rng.next_u64() as u8 & REGISTER_MAX;
            dense_write(&mut dense[HEADER..], register, *value);
        }
        let groups = dense[HEADER..].as_chunks::<3>().0;
        let found = groups.iter().flat_map(|bytes| unpack(*bytes));
        for (register, (value, expected)) in found.zip(&expected).enumerate() {
            if value != *expected {
                return Err(format!(
                    "TESTFAILED Register {register} should be {expected} but is {value}"
                ));
            }
        }
    }

    dense[HEADER..].fill(0);
    let mut growing = create();
    let corrupted = |_| "TESTFAILED Corrupted HLL object detected".to_owned();
    let relative_error = 1.04 / (REGISTERS as f64).sqrt();
    let mask = rng.next_u64();
    let mut checkpoint = 1;
    for number in 1..=10_000_000u64 {
        let element = (number ^ mask).to_le_bytes();
        add(&mut dense, &element, sparse_max_bytes).map_err(corrupted)?;
        add(&mut growing, &element, sparse_max_bytes).map_err(corrupted)?;
        if number != checkpoint {
            continue;
        }
        if number < sparse_max_bytes as u64 / 2 && validate(&growing) != Ok(Encoding::Sparse) {
            return Err("TESTFAILED sparse encoding not used".into());
        }
        let counted = count(&dense).map_err(corrupted)?;
        if counted != count(&growing).map_err(corrupted)? {
            return Err("TESTFAILED dense/sparse disagree".into());
        }
        // Ten elements collide now and then, which is no error: one off is allowed there.
        let allowed = match number {
            10 => 1,
            _ => (relative_error * 6.0 * number as f64).ceil() as u64,
        };
        let error = counted.abs_diff(number);
        if error > allowed {
            return Err(format!(
                "TESTFAILED Too big error. card:{number} abserr:{error}"
            ));
        }
        checkpoint *= 10;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 3000;

    fn of(elements: impl IntoIterator<Item = u64>, max_bytes: usize) -> Vec<u8> {
        let mut hll = create();
        for element in elements {
            add(&mut hll, &element.to_le_bytes(), max_bytes).expect("sound");
        }
        hll
    }

    fn registers_of(hll: &[u8]) -> Vec<u8> {
        let mut registers = Registers::new();
        registers.merge(hll).expect("sound");
        registers.values().to_vec()
    }

    /// The bytes a real server stores for `PFADD h a b c d e f g`, before and after PFCOUNT.
    #[test]
    fn the_bytes_are_those_of_redis() {
        let mut hll = create();
        assert_eq!(hll, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert_eq!(cached_count(&hll), Some(0));
        for element in [b"a", b"b", b"c", b"d", b"e", b"f", b"g"] {
            assert_eq!(add(&mut hll, element, MAX_BYTES), Ok(true));
            assert_eq!(add(&mut hll, element, MAX_BYTES), Ok(false));
        }
        let body = b"Fm\x80V\x0c\x80D<\x848\x80P\xb1\x84I\x8c\x80Bm\x80BZ";
        assert_eq!(
            hll,
            [b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80", &body[..]].concat()
        );
        let runs = "Z:1646 v:1,1 Z:5645 v:1,1 Z:1085 v:2,1 z:57 v:1,1 Z:4274 v:2,1 Z:2445 v:1,1 Z:622 v:1,1 Z:603";
        assert_eq!(decode(&hll), Ok(Some(runs.to_owned())));
        assert_eq!((cached_count(&hll), count(&hll)), (None, Ok(7)));
        cache_count(&mut hll, 7);
        assert_eq!(cached_count(&hll), Some(7));
        assert_eq!(
            hll,
            [b"HYLL\x01\0\0\0\x07\0\0\0\0\0\0\0", &body[..]].concat()
        );
    }

    #[test]
    fn hashes() {
        // From the reference program.
        assert_eq!(murmur_hash_64a(b"", 0), 0);
        assert_eq!(murmur_hash_64a(b"hello", 0), 0x1e68_d17c_457b_f117);
    }

    #[test]
    fn both_encodings_hold_the_same_registers() {
        for elements in [0, 1, 10, 300, 2_000] {
            let sparse = of(0..elements, usize::MAX);
            let mut dense = create();
            assert_eq!(to_dense(&mut dense), Ok(true));
            assert_eq!(to_dense(&mut dense), Ok(false));
            for element in 0..elements {
                add(&mut dense, &element.to_le_bytes(), 0).expect("sound");
            }
            assert_eq!(registers_of(&sparse), registers_of(&dense));
            assert_eq!(count(&sparse), count(&dense));
            let mut converted = sparse.clone();
            to_dense(&mut converted).expect("sound");
            assert_eq!(converted[HEADER..], dense[HEADER..]);
            let counted = count(&sparse).expect("sound") as f64;
            assert!((counted - elements as f64).abs() <= elements as f64 * 0.03);
        }
    }

    #[test]
    fn grows_dense_when_sparse_would_be_too_long() {
        for max_bytes in [0, 18, 19, 100, 3000] {
            let mut hll = create();
            let mut element = 0u64;
            while validate(&hll) == Ok(Encoding::Sparse) {
                assert!(hll.len() <= max_bytes.max(18));
                add(&mut hll, &element.to_le_bytes(), max_bytes).expect("sound");
                element += 1;
            }
            assert_eq!(validate(&hll), Ok(Encoding::Dense));
            assert_eq!(
                registers_of(&hll),
                registers_of(&of(0..element, usize::MAX))
            );
        }
        let mut hll = create();
        assert_eq!(set_register(&mut hll, 5, 33, MAX_BYTES), Ok(true));
        assert_eq!(validate(&hll), Ok(Encoding::Dense));
        assert_eq!(cached_count(&hll), None);
    }

    #[test]
    fn merging_is_the_union() {
        let (a, b) = (of(0..700, usize::MAX), of(500..30_000, MAX_BYTES));
        let mut union = Registers::new();
        assert_eq!(union.count(), 0);
        union.merge(&a).expect("sound");
        union.merge(&b).expect("sound");
        let all = of(0..30_000, MAX_BYTES);
        assert_eq!(union.values(), registers_of(&all));
        assert_eq!(Ok(union.count()), count(&all));
        let mut target = a;
        union.store(&mut target, MAX_BYTES).expect("sound");
        assert_eq!(target, all);
    }

    /// Joined runs, and every register set once in random order, against a plain array.
    #[test]
    fn sparse_follows_a_plain_array() {
        let mut rng = Rng::new(1);
        for _ in 0..8 {
            let mut hll = create();
            let mut model = vec![0; REGISTERS];
            let window = 1 + rng.below(200);
            for _ in 0..1500 {
                let (register, value) = (
                    rng.below(window) as usize * 80 % REGISTERS,
                    1 + rng.below(3) as u8,
                );
                let register = register + rng.below(5) as usize;
                let raised = set_register(&mut hll, register, value, usize::MAX).expect("sound");
                assert_eq!(raised, value > model[register]);
                model[register] = value.max(model[register]);
            }
            assert_eq!(validate(&hll), Ok(Encoding::Sparse));
            assert_eq!(registers_of(&hll), model);
        }
        let mut hll = create();
        for register in 0..REGISTERS {
            set_register(&mut hll, register, 7, usize::MAX).expect("sound");
        }
        assert_eq!(hll.len(), HEADER + REGISTERS / VALUES_MAX);
    }

    #[test]
    fn what_is_not_one() {
        let mut dense = create();
        to_dense(&mut dense).expect("sound");
        assert_eq!(validate(&dense), Ok(Encoding::Dense));
        let bad: [&[u8]; 6] = [
            b"",
            b"HYLL",
            b"HYLL\x01\0\0\0\0\0\0\0\0\0\0",
            b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0",
            b"hYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
            &dense[..DENSE_SIZE - 1],
        ];
        for string in bad {
            assert_eq!(validate(string), Err(NotHyperLogLog));
        }
    }

    #[test]
    fn corruption_is_found() {
        let header = &create()[..HEADER];
        // Six broken bodies: empty, too few registers, too many by zeros and by values, cut in half, values beyond the
        // end.
        let bodies: [&[u8]; 6] = [
            b"",
            b"\x7f\xfe",
            b"\x7f\xff\x00",
            b"\x7f\xff\x80",
            b"\x7f",
            b"\x7f\xfd\x83",
        ];
        for body in bodies {
            let mut hll = [header, body].concat();
            assert_eq!(count(&hll), Err(Corrupted), "{}", body.escape_ascii());
            assert_eq!(Registers::new().merge(&hll), Err(Corrupted));
            assert_eq!(to_dense(&mut hll), Err(Corrupted));
        }
        assert_eq!(add(&mut header.to_vec(), b"x", MAX_BYTES), Err(Corrupted));
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut rng = Rng::new(2);
        for _ in 0..1_500 {
            let mut hll = of(0..rng.below(50), MAX_BYTES);
            for _ in 0..rng.below(4) {
                let at = ENCODING_AT + rng.below((hll.len() - ENCODING_AT) as u64) as usize;
                hll[at] = rng.next_u64() as u8;
            }
            hll.truncate(hll.len() - rng.below(3) as usize);
            let _ = (
                validate(&hll),
                count(&hll),
                decode(&hll),
                cached_count(&hll),
            );
            let _ = Registers::new().merge(&hll);
            for element in 0..20u64 {
                let _ = add(&mut hll, &element.to_le_bytes(), 40);
            }
            let _ = to_dense(&mut hll);
        }
    }
}
