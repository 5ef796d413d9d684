//! Classes of key metadata: which module has which, by name and number.
//!
//! A class that is released keeps its number and its name: metadata of it may still be attached to keys. A class of the
//! same name takes both over.
//!
//! Mirrors: the table of classes in keymeta.c.

use super::{ModuleId, Modules, Opaque};
use crate::types::meta::CLASSES_MAX;

/// A class.
#[derive(Clone, Debug)]
pub struct KeyClass {
    /// Its name.
    pub name: [u8; 4],
    /// The module that has it, or had it.
    pub module: ModuleId,
    /// It has not been released.
    pub in_use: bool,
    /// It makes metadata of what a file has.
    pub loads: bool,
    /// The module's description of it.
    pub handle: Opaque,
}

impl Modules {
    /// The number for a class of this name: of one that is released, or a new one. `None` if the name is in use, or all
    /// numbers are.
    pub fn class_number(&self, name: [u8; 4]) -> Option<usize> {
        match self.key_classes.iter().position(|own| own.name == name) {
            Some(at) => (!self.key_classes[at].in_use).then_some(at + 1),
            None => (self.key_classes.len() < CLASSES_MAX).then_some(self.key_classes.len() + 1),
        }
    }

    /// A class by its number, unless it is released.
    pub fn class(&mut self, number: i32) -> Option<&mut KeyClass> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.key_classes.get_mut(at).filter(|class| class.in_use)
    }

    /// A class by its name, unless it is released.
    pub fn class_named(&self, name: [u8; 4]) -> Option<&KeyClass> {
        let mut classes = self.key_classes.iter();
        classes.find(|class| class.name == name && class.in_use)
    }

    /// Whether a class of this name makes metadata of what a file has.
    pub fn loads_metadata(&self, name: [u8; 4]) -> bool {
        self.class_named(name).is_some_and(|class| class.loads)
    }

    /// Releases the classes of a module.
    pub(super) fn release_classes(&mut self, module: ModuleId) {
        let classes = self.key_classes.iter_mut();
        for class in classes.filter(|class| class.module == module) {
            class.in_use = false;
        }
    }
}
