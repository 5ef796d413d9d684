//! Function libraries: code that registers functions when it is loaded.
//!
//! ```text
//!   FUNCTION LOAD "#!lua name=lib …"  ->  the code runs once, redis.register_function fills a
//!   Registering  ->  no name taken?  ->  Library, and its functions by lower-cased name
//! ```
//!
//! A library that fails to load leaves everything as it was. Names of functions are unique over all
//! libraries, in any case of letters; names of libraries are not folded.
//!
//! Mirrors: functions.c and function_lua.c.
//! Differs: names are looked up by one ordered map of lower-cased names.

use std::collections::BTreeMap;
use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Value};

use super::ScriptFlags;
use super::engine::{Engine, EngineKind};
use crate::resp::Error;
use crate::sys::lua::{Chunk, Vm};

pub(super) const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must \
                        be at least one character long";

/// A function of a library.
#[derive(Clone, Debug)]
pub struct LibraryFunction {
    /// Its name as it was registered.
    pub name: String,
    /// Its description, for FUNCTION LIST.
    pub description: Option<Vec<u8>>,
    /// Its flags, such as `no-writes`.
    pub flags: ScriptFlags,
    /// The Lua function.
    pub function: Chunk,
}

/// A library.
#[derive(Clone, Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its whole text, first line included.
    pub code: Vec<u8>,
    /// Its functions by name.
    pub functions: BTreeMap<String, LibraryFunction>,
}

/// The arguments of one call of `redis.register_function`.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) name: Vec<u8>,
    description: Option<Vec<u8>>,
    function: Function,
    flags: ScriptFlags,
}

impl Registration {
    /// Reads the arguments: a name and a function, or one table with named ones.
    #[doc(alias = "luaRegisterFunctionReadArgs")]
    pub(super) fn read(lua: &Lua, args: MultiValue) -> Result<Registration, String> {
        let args: Vec<Value> = args.into_iter().collect();
        match &args[..] {
            [named] => Self::read_named(lua, named),
            [name, function] => Ok(Registration {
                name: text(lua, name)
                    .ok_or("first argument to redis.register_function must be a string")?,
                description: None,
                function: match function {
                    Value::Function(function) => function.clone(),
                    _ => {
                        let text = "second argument to redis.register_function must be a function";
                        return Err(text.into());
                    }
                },
                flags: ScriptFlags::default(),
            }),
            _ => Err("wrong number of arguments to redis.register_function".into()),
        }
    }

    fn read_named(lua: &Lua, named: &Value) -> Result<Registration, String> {
        let Value::Table(named) = named else {
            return Err(
                "calling redis.register_function with a single argument is only applicable to Lua \
                 table (representing named arguments)."
                    .into(),
            );
        };
        let (mut name, mut description, mut function) = (None, None, None);
        let mut flags = ScriptFlags::default();
        for pair in named.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(|error| error.to_string())?;
            let key = text(lua, &key)
                .ok_or("named argument key given to redis.register_function is not a string")?;
            match &key.to_ascii_lowercase()[..] {
                b"function_name" => {
                    let complaint =
                        "function_name argument given to redis.register_function must be a string";
                    name = Some(text(lua, &value).ok_or(complaint)?);
                }
                b"description" => {
                    let complaint =
                        "description argument given to redis.register_function must be a string";
                    description = Some(text(lua, &value).ok_or(complaint)?);
                }
                b"callback" => match value {
                    Value::Function(callback) => function = Some(callback),
                    _ => {
                        return Err(
                            "callback argument given to redis.register_function must be a function"
                                .into(),
                        );
                    }
                },
                b"flags" => {
                    let Value::Table(list) = value else {
                        return Err("flags argument to redis.register_function must be a table \
                             representing function flags"
                            .into());
                    };
                    for flag in list.sequence_values::<Value>() {
                        let flag = flag.map_err(|error| error.to_string())?;
                        let flag = text(lua, &flag)
                            .and_then(|word| ScriptFlags::named(&word.to_ascii_lowercase()));
                        flags = flags.with(flag.ok_or("unknown flag given")?);
                    }
                }
                _ => return Err("unknown argument given to redis.register_function".into()),
            }
        }
        Ok(Registration {
            name: name.ok_or("redis.register_function must get a function name argument")?,
            description,
            function: function.ok_or("redis.register_function must get a callback argument")?,
            flags,
        })
    }
}

pub(super) fn text(lua: &Lua, value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            let text = lua.coerce_string(value.clone()).ok().flatten()?;
            Some(text.as_bytes().to_vec())
        }
        _ => None,
    }
}

/// A library being loaded.
#[derive(Debug)]
pub struct Registering {
    pub(super) functions: BTreeMap<String, LibraryFunction>,
    /// When it must be finished; none for what must be loaded whatever it takes.
    pub(super) deadline_ns: Option<u64>,
}

impl Registering {
    pub(super) fn is_late(&self, now_ns: u64) -> bool {
        self.deadline_ns.is_some_and(|deadline| now_ns > deadline)
    }

    /// Adds a function. The error is Redis's sentence.
    #[doc(alias = "functionLibCreateFunction")]
    pub(super) fn add(&mut self, registration: Registration, vm: &Vm) -> Result<(), String> {
        let name = valid_name(&registration.name).ok_or(BAD_NAME)?;
        if self.functions.contains_key(&name) {
            return Err("Function already exists in the library".into());
        }
        let function = vm.keep(&registration.function);
        let function = LibraryFunction {
            name: name.clone(),
            description: registration.description,
            flags: registration.flags,
            function: function.map_err(|error| error.to_string())?,
        };
        self.functions.insert(name, function);
        Ok(())
    }
}

pub(super) fn valid_name(name: &[u8]) -> Option<String> {
    let fine = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    if name.is_empty() || !name.iter().all(fine) {
        return None;
    }
    String::from_utf8(name.to_vec()).ok()
}

/// All libraries of a server.
#[derive(Debug, Default)]
pub struct Libraries {
    pub(super) engine: Option<Engine>,
    /// Whether functions have those of `lua-enable-deprecated-api`.
    deprecated: bool,
    pub(super) set: LibrarySet,
}

/// Libraries, and their functions by lower-cased name.
#[derive(Clone, Debug, Default)]
pub struct LibrarySet {
    pub(super) libraries: BTreeMap<String, Library>,
    pub(super) functions: BTreeMap<String, Rc<LibraryFunction>>,
}

impl LibrarySet {
    pub(super) fn link(&mut self, library: Library) {
        for function in library.functions.values() {
            let name = function.name.to_ascii_lowercase();
            self.functions.insert(name, Rc::new(function.clone()));
        }
        self.libraries.insert(library.name.clone(), library);
    }

    pub(super) fn unlink(&mut self, name: &str) -> Option<Library> {
        let library = self.libraries.remove(name)?;
        for function in library.functions.keys() {
            self.functions.remove(&function.to_ascii_lowercase());
        }
        Some(library)
    }

    /// Adds a library unless one of its functions' names is taken.
    pub(super) fn add(&mut self, library: Library) -> Result<(), String> {
        let taken = |name: &&String| self.functions.contains_key(&name.to_ascii_lowercase());
        if let Some(name) = library.functions.keys().find(taken) {
            return Err(format!("Function {name} already exists"));
        }
        self.link(library);
        Ok(())
    }

    /// Adds all of another set's libraries, or none.
    #[doc(alias = "libraryJoin")]
    pub(super) fn join(&mut self, other: LibrarySet, replace: bool) -> Result<(), String> {
        let mut joined = self.clone();
        for name in other.libraries.keys() {
            if joined.unlink(name).is_some() && !replace {
                return Err(format!("Library {name} already exists"));
            }
        }
        for library in other.libraries.into_values() {
            joined.add(library)?;
        }
        *self = joined;
        Ok(())
    }
}

/// The policy of FUNCTION RESTORE for libraries that exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePolicy {
    /// They go.
    Flush,
    /// They stay; a name that is taken is an error.
    Append,
    /// They stay but for those of the same name.
    Replace,
}

impl Libraries {
    /// No library, and no interpreter yet.
    pub(super) fn new(deprecated: bool) -> Libraries {
        Libraries {
            deprecated,
            ..Libraries::default()
        }
    }

    /// No libraries, for an interpreter of the same kind.
    pub fn twin(&self) -> Libraries {
        Libraries::new(self.deprecated)
    }

    /// The interpreter, made when first needed.
    pub(super) fn engine(&mut self) -> Result<&mut Engine, Error> {
        if self.engine.is_none() {
            let engine = Engine::new(EngineKind::Functions, self.deprecated)
                .map_err(|error| Error::once(format!("Failed creating the lua VM: {error}")))?;
            self.engine = Some(engine);
        }
        self.engine.as_mut().ok_or(Error::AlreadySaid)
    }

    /// The libraries by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Library> {
        self.set.libraries.values()
    }

    /// How many functions there are (`number_of_functions`).
    pub fn functions(&self) -> usize {
        self.set.functions.len()
    }

    /// A function by its name, in any case of letters.
    pub fn function(&self, name: &[u8]) -> Option<&Rc<LibraryFunction>> {
        let mut folded = [0; 64];
        match folded.get_mut(..name.len()) {
            Some(folded) => {
                folded.copy_from_slice(name);
                folded.make_ascii_lowercase();
                self.set.functions.get(std::str::from_utf8(folded).ok()?)
            }
            None => {
                let name = std::str::from_utf8(name).ok()?;
                self.set.functions.get(&name.to_ascii_lowercase())
            }
        }
    }

    /// Bytes of the interpreter (`used_memory_vm_functions`).
    pub fn engine_memory(&self) -> usize {
        self.engine.as_ref().map_or(0, Engine::memory)
    }

    /// Bytes of the libraries besides the interpreter.
    pub fn memory(&self) -> usize {
        let per_function = |f: &LibraryFunction| {
            size_of::<LibraryFunction>() + f.name.len() + f.description.as_ref().map_or(0, Vec::len)
        };
        let per_library = |l: &Library| {
            let functions: usize = l.functions.values().map(per_function).sum();
            size_of::<Library>() + l.name.len() + l.code.len() + functions
        };
        self.set.libraries.values().map(per_library).sum()
    }

    /// Forgets a library. Returns whether there was one.
    pub fn delete(&mut self, name: &[u8]) -> bool {
        std::str::from_utf8(name)
            .ok()
            .and_then(|name| self.set.unlink(name))
            .is_some()
    }

    /// Forgets all libraries and hands out the interpreter.
    pub(super) fn flush(&mut self) -> Option<Engine> {
        let fresh = Libraries::new(self.deprecated);
        std::mem::replace(self, fresh).engine
    }
}
