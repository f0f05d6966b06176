//! The folders and ports that a service stands on.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use crate::failure::Failure;

/// Takes a port before anything else is touched.
pub async fn bind(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), Failure> {
    let cannot = |error: &std::io::Error| {
        let failure = Failure::failed("CANNOT_LISTEN", format!("cannot listen on {host}:{port}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint("stop what listens there, or choose another port"),
            _ => failure,
        }
    };
    let listener = TcpListener::bind((host, port)).await.map_err(|error| cannot(&error))?;
    let address = listener.local_addr().map_err(|error| cannot(&error))?;
    Ok((listener, address))
}

/// Where peers reach what listens on `address`: itself, else this machine by its name where that resolves.
pub fn reachable(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return format!("http://{address}");
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let resolves = !name.is_empty()
        && (name, address.port()).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
    let host = if resolves { name } else { "127.0.0.1" };
    format!("http://{host}:{}", address.port())
}

/// The address that a person types to reach `address`.
pub fn url(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("http://127.0.0.1:{}", address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("http://[::1]:{}", address.port()),
        _ => format!("http://{address}"),
    }
}

/// Makes the folder of a database file, closed to others.
pub fn make_folder_of(file: &Path) -> Result<(), Failure> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| Failure::io("make", folder, &error))
}

/// The keys that belong to a database file: DIR/keys for DIR/store/events.db, as `stateset up` lays them out; else a
/// folder beside the file.
pub fn keys_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "store"));
    match folder.and_then(Path::parent) {
        Some(data) => data.join("keys"),
        None => {
            let mut name = file.as_os_str().to_owned();
            name.push("-keys");
            PathBuf::from(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_where_up_keeps_them_else_beside_the_file() {
        assert_eq!(keys_of(Path::new("./stateset-data/store/events.db")), Path::new("./stateset-data/keys"));
        assert_eq!(keys_of(Path::new("/var/lib/s/log.db")), Path::new("/var/lib/s/log.db-keys"));
        assert_eq!(keys_of(Path::new("log.db")), Path::new("log.db-keys"));
    }

    #[test]
    fn an_address_of_all_interfaces_is_advertised_by_a_name_that_resolves() {
        assert_eq!(reachable("10.1.2.3:80".parse().unwrap()), "http://10.1.2.3:80");
        let wildcard = reachable("0.0.0.0:81".parse().unwrap());
        assert!(wildcard.ends_with(":81") && !wildcard.contains("0.0.0.0"), "{wildcard}");
    }
}
