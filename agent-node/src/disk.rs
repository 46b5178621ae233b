//! The files of a data folder: the operating system's, and in the tests of this crate also those of a simulated disk,
//! which is found by its paths. The store and the log touch files by nothing else.

#[cfg(test)]
pub mod simulated;

use std::fs::{self, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// An open file. It is read and written at places: none of its uses shares a cursor with another.
#[derive(Debug)]
pub enum File {
    System(fs::File),
    #[cfg(test)]
    Simulated(simulated::File),
}

impl File {
    pub fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self {
            File::System(file) => file.write_all_at(bytes, at),
            #[cfg(test)]
            File::Simulated(file) => file.write_all_at(bytes, at),
        }
    }

    pub fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            File::System(file) => file.read_exact_at(bytes, at),
            #[cfg(test)]
            File::Simulated(file) => file.read_exact_at(bytes, at),
        }
    }

    pub fn length(&self) -> io::Result<u64> {
        match self {
            File::System(file) => Ok(file.metadata()?.len()),
            #[cfg(test)]
            File::Simulated(file) => file.length(),
        }
    }

    pub fn set_length(&self, length: u64) -> io::Result<()> {
        match self {
            File::System(file) => file.set_len(length),
            #[cfg(test)]
            File::Simulated(file) => file.set_length(length),
        }
    }

    /// Takes the blocks for so many bytes. A full disk is an error; a file system that can't tell is none.
    pub fn allocate(&self, bytes: u64) -> io::Result<()> {
        match self {
            File::System(file) => {
                let allocated = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes);
                match allocated {
                    Err(full @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => Err(full.into()),
                    _ => Ok(()),
                }
            }
            #[cfg(test)]
            File::Simulated(file) => file.allocate(bytes),
        }
    }

    /// Brings what was written to the disk, and the length that is needed to read it.
    pub fn sync_data(&self) -> io::Result<()> {
        match self {
            File::System(file) => file.sync_data(),
            #[cfg(test)]
            File::Simulated(file) => file.sync(),
        }
    }

    pub fn sync_all(&self) -> io::Result<()> {
        match self {
            File::System(file) => file.sync_all(),
            #[cfg(test)]
            File::Simulated(file) => file.sync(),
        }
    }

    pub fn try_lock(&self) -> Result<(), TryLockError> {
        match self {
            File::System(file) => file.try_lock(),
            #[cfg(test)]
            File::Simulated(_) => Ok(()),
        }
    }

    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        match self {
            File::System(file) => file.try_lock_shared(),
            #[cfg(test)]
            File::Simulated(_) => Ok(()),
        }
    }
}

/// For reading.
pub fn open(path: &Path) -> io::Result<File> {
    opened(path, fs::File::options().read(true), false)
}

/// For reading and writing what is there.
pub fn open_to_write(path: &Path) -> io::Result<File> {
    opened(path, fs::File::options().read(true).write(true), false)
}

/// For reading and writing, made if it is not there.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    opened(path, fs::File::options().read(true).write(true).create(true).truncate(false), true)
}

/// For reading and writing, made or emptied.
pub fn create(path: &Path) -> io::Result<File> {
    let file = opened(path, fs::File::options().read(true).write(true).create(true).truncate(true), true)?;
    #[cfg(test)]
    if let File::Simulated(file) = &file {
        file.set_length(0)?;
    }
    Ok(file)
}

/// For writing past the page cache, where the file system can.
pub fn open_direct(path: &Path) -> io::Result<File> {
    #[cfg(test)]
    if simulated::of(path).is_some() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let flag = rustix::fs::OFlags::DIRECT.bits() as i32;
    opened(path, fs::File::options().write(true).custom_flags(flag), false)
}

#[cfg_attr(not(test), expect(unused_variables, reason = "a simulated disk is only in tests"))]
fn opened(path: &Path, options: &fs::OpenOptions, create: bool) -> io::Result<File> {
    #[cfg(test)]
    if let Some(disk) = simulated::of(path) {
        return Ok(File::Simulated(disk.open(path, create)?));
    }
    Ok(File::System(options.open(path)?))
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    #[cfg(test)]
    if let Some(disk) = simulated::of(path) {
        return disk.open(path, false)?.read();
    }
    fs::read(path)
}

pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

pub fn length(path: &Path) -> io::Result<u64> {
    open(path)?.length()
}

pub fn exists(path: &Path) -> bool {
    #[cfg(test)]
    if let Some(disk) = simulated::of(path) {
        return disk.is_folder(path) || disk.open(path, false).is_ok();
    }
    path.exists()
}

pub fn is_folder(path: &Path) -> bool {
    #[cfg(test)]
    if let Some(disk) = simulated::of(path) {
        return disk.is_folder(path);
    }
    path.is_dir()
}

/// The names of what is in a folder.
pub fn list(folder: &Path) -> io::Result<Vec<String>> {
    #[cfg(test)]
    if let Some(disk) = simulated::of(folder) {
        return disk.list(folder);
    }
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    fs::read_dir(folder)?.map(name).collect()
}

pub fn make_folders(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    if let Some(disk) = simulated::of(path) {
        return disk.make_folder(path);
    }
    fs::create_dir_all(path)
}

pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    if let Some(disk) = simulated::of(from) {
        return disk.rename(from, to);
    }
    fs::rename(from, to)
}

/// Gives two files each other's name. Where the file system can't, or there is nothing yet to exchange `from` for, it
/// is renamed.
pub fn exchange(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    #[cfg(test)]
    if let Some(disk) = simulated::of(from) {
        return disk.exchange(from, to);
    }
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, from, here, to, rustix::fs::RenameFlags::EXCHANGE) {
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(from, to),
        exchanged => Ok(exchanged?),
    }
}

pub fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    if let Some(disk) = simulated::of(path) {
        return disk.remove(path);
    }
    fs::remove_file(path)
}

/// Makes new names and renames in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(test)]
    if let Some(disk) = simulated::of(folder) {
        return disk.sync_folder(folder);
    }
    fs::File::open(folder)?.sync_all()
}

/// What is free of the disk for this process, and the size of the disk.
pub fn space(folder: &Path) -> io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok((disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
}
