//! Which descriptors are ready at this moment.
#![allow(unsafe_code)] // poll is a system call.

/// Asks the system, without waiting. Each is a descriptor, and whether it is asked about reading and about writing; the
/// result has those that are ready for any of it, in the same form. A descriptor that is broken counts as ready, so that
/// its owner finds out. One that is closed does not: its owner has forgotten it, and would be asked for ever.
/// O(descriptors).
pub fn now(asked: &[(i32, bool, bool)]) -> Vec<(i32, bool, bool)> {
    let mut list: Vec<libc::pollfd> = asked
        .iter()
        .map(|(fd, reads, writes)| libc::pollfd {
            fd: *fd,
            events: if *reads { libc::POLLIN } else { 0 } | if *writes { libc::POLLOUT } else { 0 },
            revents: 0,
        })
        .collect();
    // SAFETY: the list is as long as it is said to be.
    let found = unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, 0) };
    if found <= 0 {
        return Vec::new();
    }
    const BROKEN: i16 = libc::POLLERR | libc::POLLHUP;
    let judged = asked.iter().zip(&list).map(|((fd, reads, writes), told)| {
        let has = |bit: i16| told.revents & (bit | BROKEN) != 0;
        (
            *fd,
            *reads && has(libc::POLLIN),
            *writes && has(libc::POLLOUT),
        )
    });
    judged
        .filter(|(_, reads, writes)| *reads || *writes)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::now;

    /// A module that closes a descriptor which it watches would keep the loop from sleeping.
    #[test]
    fn a_closed_descriptor_is_not_ready() {
        assert_eq!(now(&[(i32::MAX, true, true)]), []);
    }

    #[test]
    fn bytes_make_a_socket_readable_until_they_are_read() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut far = far;
        let fd = near.as_raw_fd();
        assert_eq!(now(&[(fd, true, false)]), []);
        assert_eq!(now(&[(fd, true, true)]), [(fd, false, true)]);
        far.write_all(b"x").unwrap();
        assert_eq!(now(&[(fd, true, false)]), [(fd, true, false)]);
        near.read_exact(&mut [0]).unwrap();
        assert_eq!(now(&[(fd, true, false)]), []);
        drop(far);
        assert_eq!(now(&[(fd, true, false)]), [(fd, true, false)]);
    }
}
