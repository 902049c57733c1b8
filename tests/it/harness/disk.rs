//! Disks that fill up and fail: a small file system, and a library that makes system calls fail.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Says why this test is skipped.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("== SKIPPED {test}: {why}");
}

/// A file system in memory.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of `size` MiB; `None` where that is not allowed.
    pub fn mount(size: usize) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}m"), "tmpfs"])
            .arg(directory.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(directory)),
            other => {
                let why = other.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
                skipped(&format!("a file system cannot be mounted: {}", why.trim()));
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn url(&self) -> String {
        format!("sqlite://{}", self.path().join("crm.db").display())
    }

    /// Resizes it to `size` MiB.
    pub fn resize(&self, size: usize) {
        self.remount(&format!("size={size}m"));
    }

    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.path()).status().unwrap();
        assert!(status.success(), "mount -o {options}");
    }

    /// Fills `size` MiB, or all there is, with a file.
    pub fn ballast(&self, size: Option<usize>) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let block = [1_u8; 4096];
        for _ in 0..size.map_or(usize::MAX, |size| size * 256) {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(_) if size.is_none() => break,
                Err(error) => panic!("{error}"),
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}

/// Sets of system calls.
pub const WRITES: u32 = 1;
pub const SYNCS: u32 = 2;
pub const SIZES: u32 = 4;
pub const OPENS: u32 = 8;
pub const ALL: u32 = WRITES | SYNCS | SIZES | OPENS;

/// The errors of `errno.h` on Linux.
pub const EIO: u32 = 5;
pub const ENOSPC: u32 = 28;
pub const EROFS: u32 = 30;
/// Any of the three.
pub const ANY: u32 = 0;

/// A library that makes system calls of the process it is preloaded into fail.
pub struct FaultyDisk {
    library: TempDir,
    directory: String,
    control: File,
}

impl FaultyDisk {
    /// For files in a directory; `None` where there is no C compiler.
    pub fn of(directory: &Path, seed: u32) -> Option<Self> {
        let library = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/harness/faulty_disk.c");
        let compiled = Command::new("gcc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(library.path().join("faulty_disk.so"))
            .args([source, "-ldl"])
            .status();
        let Ok(status) = compiled else {
            skipped("gcc is missing");
            return None;
        };
        assert!(status.success(), "{source} does not compile");
        let control =
            OpenOptions::new().create_new(true).read(true).write(true).open(library.path().join("control")).unwrap();
        control.set_len(4096).unwrap();
        let disk = Self { library, directory: directory.to_str().unwrap().to_owned(), control };
        disk.set(3, seed);
        Some(disk)
    }

    /// The variables that preload it.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        let path = |name| self.library.path().join(name).to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", path("faulty_disk.so")),
            ("DISK_FAULTS_CONTROL", path("control")),
            ("DISK_FAULTS_DIRECTORY", self.directory.clone()),
        ]
    }

    /// From now on `per_mille` in a thousand of these calls fail.
    pub fn fail(&self, per_mille: u32, error: u32, calls: u32) {
        self.set(1, error);
        self.set(2, calls);
        self.set(0, per_mille);
    }

    pub fn repair(&self) {
        self.set(0, 0);
    }

    /// How many calls failed so far.
    pub fn failures(&self) -> u32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, 16).unwrap();
        u32::from_ne_bytes(bytes)
    }

    /// Sets a field of `struct control` in `faulty_disk.c`.
    fn set(&self, field: u64, number: u32) {
        self.control.write_all_at(&number.to_ne_bytes(), field * 4).unwrap();
    }
}
