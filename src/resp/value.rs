//! A reply as a tree: what in-process callers and scripts get instead of bytes.
//!
//! Mirrors: call_reply.c, and resp_parser.c as scripts use it. Differs: the tree is built while the command replies,
//! not parsed out of its bytes afterwards.

use std::borrow::Cow;

/// One reply of any RESP3 type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`
    Simple(Cow<'static, str>),
    /// `-ERR …`, without the dash.
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$3 foo`
    Bulk(Vec<u8>),
    /// `_`, `$-1` or `*-1`
    Null,
    /// `*n`
    Array(Vec<Value>),
    /// `%n`
    Map(Vec<(Value, Value)>),
    /// `~n`
    Set(Vec<Value>),
    /// `>n`
    Push(Vec<Value>),
    /// `,3.14`
    Double(f64),
    /// `#t`
    Boolean(bool),
    /// `(123…`
    BigNumber(String),
    /// `=txt:…`: format and text.
    Verbatim(String, Vec<u8>),
    /// `|n`: an attribute, and the value that it precedes.
    Attributed(Vec<(Value, Value)>, Box<Value>),
}

impl Value {
    /// The value without its attribute, if it has one.
    pub fn bare(&self) -> &Value {
        let mut value = self;
        while let Value::Attributed(_, inner) = value {
            value = inner;
        }
        value
    }

    /// The bytes of a string of any kind.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(text) => Some(text.as_bytes()),
            Value::BigNumber(text) => Some(text.as_bytes()),
            Value::Bulk(bytes) | Value::Verbatim(_, bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number, when it is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// Whether this is an error reply.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Array,
    Map,
    Set,
    Push,
    /// An attribute: kept for the value that follows.
    Attribute,
}

/// Builds a [`Value`] from the calls that would otherwise write bytes.
#[derive(Debug, Default)]
pub(super) struct Tree {
    done: Vec<Value>,
    open: Vec<Open>,
    /// An attribute of the next value outside of all collections.
    attribute: Option<Pairs>,
    /// Bytes of all values so far, about.
    size: usize,
}

/// A reply of more bytes than this becomes an error: its length may be what a caller asked for (`SRANDMEMBER key
/// -9000000000`), and nothing else bounds it.
const SIZE_MAX: usize = 2 << 30;
/// Bytes that a value counts for besides its own.
const VALUE_SIZE: usize = 32;

type Pairs = Vec<(Value, Value)>;

#[derive(Debug)]
struct Open {
    shape: Shape,
    /// How many values are still awaited; unknown while the length is deferred.
    missing: Option<usize>,
    values: Vec<Value>,
    /// An attribute of the next value.
    attribute: Option<Pairs>,
}

impl Tree {
    pub(super) fn overflowed(&self) -> bool {
        self.size > SIZE_MAX
    }

    pub(super) fn value(&mut self, value: Value) {
        if self.overflowed() {
            return;
        }
        self.size += VALUE_SIZE + value.as_bytes().map_or(0, <[u8]>::len);
        if self.overflowed() {
            // All of it is lost, and may go at once.
            self.done = Vec::new();
            self.open = Vec::new();
            return;
        }
        self.place(value);
        self.close_full();
    }

    /// Puts a value where the innermost collection, or nothing around it, waits for one.
    fn place(&mut self, value: Value) {
        let (values, attribute) = match self.open.last_mut() {
            None => (&mut self.done, &mut self.attribute),
            Some(open) => (&mut open.values, &mut open.attribute),
        };
        values.push(match attribute.take() {
            None => value,
            Some(pairs) => Value::Attributed(pairs, Box::new(value)),
        });
    }

    pub(super) fn open(&mut self, shape: Shape, len: Option<usize>) {
        if self.overflowed() {
            return;
        }
        // Reserved only up to a bound: the length may come from a client's COUNT.
        let values = Vec::with_capacity(len.unwrap_or(0).min(1024));
        self.open.push(Open {
            shape,
            missing: len,
            values,
            attribute: None,
        });
        self.close_full();
    }

    /// Closes the innermost collection whose length was deferred.
    pub(super) fn close_deferred(&mut self, shape: Shape) {
        if let Some(open) = self.open.iter_mut().rev().find(|o| o.missing.is_none()) {
            open.missing = Some(open.values.len());
            open.shape = shape;
        }
        self.close_full();
    }

    fn close_full(&mut self) {
        while let Some(open) = self.open.last() {
            if open.missing != Some(open.values.len()) {
                return;
            }
            let Some(open) = self.open.pop() else { return };
            let value = match open.shape {
                Shape::Attribute => {
                    let pairs = Some(in_pairs(open.values));
                    match self.open.last_mut() {
                        None => self.attribute = pairs,
                        Some(around) => around.attribute = pairs,
                    }
                    continue;
                }
                Shape::Array => Value::Array(open.values),
                Shape::Set => Value::Set(open.values),
                Shape::Push => Value::Push(open.values),
                Shape::Map => Value::Map(in_pairs(open.values)),
            };
            self.place(value);
        }
    }

    /// Begins the reply of one command inside a collection: what it writes is kept apart from the collection until
    /// [`Tree::end_reply`], so that it can be taken back whole even if it would have been the collection's last value.
    pub(super) fn begin_reply(&mut self) {
        if !self.open.is_empty() && !self.overflowed() {
            self.open(Shape::Array, None);
        }
    }

    /// Moves the reply begun at this depth into the collection around it. Collections that the command left open are
    /// dropped.
    pub(super) fn end_reply(&mut self, depth: usize) {
        if depth == 0 || self.open.len() <= depth {
            return;
        }
        self.open.truncate(depth + 1);
        let Some(reply) = self.open.pop() else { return };
        if let Some(around) = self.open.last_mut() {
            around.values.extend(reply.values);
            self.close_full();
        }
    }

    pub(super) fn depth(&self) -> (usize, usize) {
        (
            self.open.len(),
            self.open.last().map_or(self.done.len(), |o| o.values.len()),
        )
    }

    pub(super) fn truncate(&mut self, (depth, len): (usize, usize)) {
        self.open.truncate(depth);
        match self.open.last_mut() {
            Some(open) => open.values.truncate(len),
            None => self.done.truncate(len),
        }
    }

    pub(super) fn take(&mut self) -> Vec<Value> {
        self.open.clear();
        self.attribute = None;
        if std::mem::take(&mut self.size) > SIZE_MAX {
            return vec![Value::Error("ERR reply is too large".into())];
        }
        std::mem::take(&mut self.done)
    }

    /// The first value. The others are dropped, and the room for them is kept.
    pub(super) fn take_first(&mut self) -> Option<Value> {
        self.open.clear();
        self.attribute = None;
        if std::mem::take(&mut self.size) > SIZE_MAX {
            return Some(Value::Error("ERR reply is too large".into()));
        }
        self.done.drain(..).next()
    }
}

fn in_pairs(values: Vec<Value>) -> Pairs {
    let mut pairs = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let (Some(key), Some(value)) = (values.next(), values.next()) {
        pairs.push((key, value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_belongs_to_the_value_behind_it() {
        let mut tree = Tree::default();
        tree.open(Shape::Array, Some(2));
        tree.open(Shape::Attribute, Some(2));
        tree.value(Value::Integer(1));
        tree.value(Value::Integer(2));
        tree.open(Shape::Set, Some(1));
        tree.value(Value::Integer(3));
        tree.value(Value::Integer(4));
        let set = Box::new(Value::Set(vec![Value::Integer(3)]));
        let pairs = vec![(Value::Integer(1), Value::Integer(2))];
        let attributed = Value::Attributed(pairs, set.clone());
        assert_eq!(attributed.bare(), &*set);
        assert_eq!(
            tree.take(),
            [Value::Array(vec![attributed, Value::Integer(4)])]
        );
    }

    #[test]
    fn an_endless_reply_becomes_an_error() {
        let mut tree = Tree::default();
        tree.open(Shape::Array, Some(usize::MAX));
        let mut values = 0;
        while !tree.overflowed() {
            tree.value(Value::Bulk(vec![0; 64 << 20]));
            values += 1;
        }
        assert_eq!(values, 32);
        tree.value(Value::Null);
        tree.open(Shape::Array, Some(2));
        tree.close_deferred(Shape::Array);
        let error = Value::Error("ERR reply is too large".into());
        assert_eq!(tree.take(), [error]);
        tree.value(Value::Null);
        assert_eq!(tree.take(), [Value::Null]);
    }
}
