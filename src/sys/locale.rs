//! Which locales the system knows.
//!
//! Mirrors: the call of setlocale() for `locale-collate` in server.c. Differs: asks for a locale without making it the
//! process's own, which all threads would share.
#![allow(unsafe_code)] // newlocale is a function of libc.

/// Whether the system has a locale of this name to compare texts by. The empty name, for the one of the environment, is
/// always there.
pub fn exists(name: &str) -> bool {
    if name.is_empty() {
        return true;
    }
    let Ok(name) = std::ffi::CString::new(name) else {
        return false;
    };
    #[cfg(unix)]
    // SAFETY: a name that ends with a zero, no base; what is made is freed once and used by nobody.
    unsafe {
        let locale = libc::newlocale(libc::LC_COLLATE_MASK, name.as_ptr(), std::ptr::null_mut());
        if locale.is_null() {
            return false;
        }
        libc::freelocale(locale);
    }
    true
}

#[cfg(test)]
mod tests {
    #[cfg_attr(miri, ignore)]
    #[test]
    fn the_c_locale_is_everywhere() {
        assert!(super::exists("") && super::exists("C") && super::exists("POSIX"));
        assert!(!super::exists("nosuch") && !super::exists("C\0"));
    }
}
