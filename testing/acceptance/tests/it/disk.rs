//! A disk that fills up under load, below either database.

use std::path::Path;
use std::process::Command;

use stateset_acceptance::{Instance, Service, Shop};
use stateset_postgres::{Server, Settings};

/// A small disk in memory. Making one takes the right to mount.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub fn new(megabytes: u32) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.mount(&format!("size={megabytes}m,mode=0777"), &["-t", "tmpfs", "tmpfs"]);
        disk
    }

    fn grow(&self, megabytes: u32) {
        self.mount(&format!("remount,size={megabytes}m"), &[]);
    }

    fn mount(&self, options: &str, what: &[&str]) {
        let mut mount = Command::new("mount");
        let status = mount.args(["-o", options]).args(what).arg(self.path()).status().expect("`mount` runs");
        assert!(status.success(), "a small disk takes the right to mount one: run this test as root");
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there keeps it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_below_sqlite_is_answered_503_until_there_is_room() {
    let disk = SmallDisk::new(6);
    let service = Service::start(&disk.path().join("data"));
    let mut shop = Shop::open(service.rest(), 2);
    let day = shop.day(|door| {
        door.wait_for_refusals(20);
        assert!(matches!(service.rest().get("/health"), Ok((200, _))));
        disk.grow(64);
        door.wait_for(300);
    });
    assert!(day.refused >= 20 && day.events > 300, "{day:?}");
    shop.check(&service.rest());
    assert!(service.stop().success());
    // What was said holds for the next start as well.
    let again = Service::start(&disk.path().join("data"));
    shop.check(&again.rest());
    assert!(again.stop().success());
}

#[test]
fn a_full_disk_below_postgresql_is_answered_503_until_there_is_room() {
    let disk = SmallDisk::new(96);
    let settings = Settings {
        fsync: true,
        inside: Some(disk.path().to_owned()),
        extra: [("min_wal_size", "32MB"), ("max_wal_size", "32MB")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Settings::default()
    };
    let server = Server::start(settings);
    let url = server.url(&server.database());
    let instance = Instance::start(&url, &[]);
    let mut shop = Shop::open(instance.rest(), 2);
    let ballast = disk.path().join("ballast");
    let day = shop.day(|door| {
        door.wait_for(100);
        // Everything that is left, so that the database's next page finds no room.
        let mut file = std::fs::File::create(&ballast).expect("a file of our own");
        let written = std::io::copy(&mut std::io::repeat(0x5a), &mut file);
        assert!(written.is_err(), "the disk is full");
        door.wait_for_refusals(20);
        assert!(instance.is_healthy());
        std::fs::remove_file(&ballast).expect("our own file");
        disk.grow(512);
        door.wait_for(200);
    });
    assert!(day.refused >= 20, "{day:?}");
    shop.check(&instance.rest());
    assert!(instance.stop().success());
}
