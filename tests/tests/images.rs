//! The images, as `images/build` makes them: what they hold, what they say of themselves, and that they run.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::dev::{program, root};
use tests::project::read;

const IMAGES: [&str; 2] = ["agent-node", "shoal-operator"];
const BYTES_MAX: u64 = 30_000_000;

fn build(output: &Path) -> Result<()> {
    let programs = program("agent-node").parent().context("a folder")?.to_owned();
    let mut build = Command::new(root().join("images/build"));
    build.arg("--programs").arg(programs).arg("--output").arg(output);
    ensure!(build.status()?.success(), "it is not built");
    Ok(())
}

fn unpack(archive: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let done = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(into).status()?;
    ensure!(done.success(), "{} is not unpacked", archive.display());
    Ok(())
}

/// What a descriptor leads to; it has the size and the digest that the descriptor says.
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("a digest")?;
    let path = layout.join("blobs").join(digest.replace(':', "/"));
    let content = fs::read(&path)?;
    let found = format!("{:x}", Sha256::digest(&content));
    assert_eq!(
        (format!("sha256:{found}"), json!(content.len())),
        (digest.to_owned(), descriptor["size"].clone())
    );
    Ok(path)
}

fn json_of(path: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Every file below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// What the program says of its version, with no file but those of the image.
fn version(image: &str, files: &[PathBuf], root: &Path) -> Result<String> {
    let is_loader =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-"));
    let loader = files.iter().find(is_loader).context("no loader")?;
    let folders: Vec<String> =
        files.iter().filter_map(|path| Some(path.parent()?.display().to_string())).collect();
    let mut command = Command::new(loader);
    command.args(["--inhibit-cache", "--library-path", &folders.join(":")]);
    let said = command.arg(root.join(image)).arg("--version").env_clear().output()?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(String::from_utf8(said.stdout)?)
}

#[test]
fn images_are_small_run_as_nobody_and_say_what_they_are() -> Result<()> {
    let folder = tempfile::tempdir()?;
    build(folder.path())?;
    for image in IMAGES {
        let layout = folder.path().join(image);
        unpack(&folder.path().join(format!("{image}.tar")), &layout)?;
        let index = json_of(&layout.join("index.json"))?;
        let listed = &index["manifests"][0];
        assert_eq!(
            listed["annotations"]["io.containerd.image.name"],
            format!("docker.io/shoal/{image}:{}", env!("CARGO_PKG_VERSION"))
        );
        let manifest = json_of(&blob(&layout, listed)?)?;
        let config = json_of(&blob(&layout, &manifest["config"])?)?;
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        assert_eq!(
            (&config["architecture"], &listed["platform"]["architecture"]),
            (&arch.into(), &arch.into())
        );
        assert_eq!(config["config"]["User"], "65532:65532", "a number: kubelets do not look names up");
        assert_eq!(config["config"]["Entrypoint"], json!([format!("/{image}")]));
        assert_eq!(config["config"]["Labels"], manifest["annotations"]);
        for name in ["title", "description", "licenses", "version", "revision", "created"] {
            let said = &manifest["annotations"][format!("org.opencontainers.image.{name}")];
            assert!(
                said.as_str().is_some_and(|said| !said.is_empty() && !said.contains('$')),
                "{name}: {said}"
            );
        }
        let root = folder.path().join("root").join(image);
        unpack(&blob(&layout, &manifest["layers"][0])?, &root)?;
        let files = files(&root)?;
        let size: u64 = files.iter().map(|path| path.metadata().map_or(0, |meta| meta.len())).sum();
        assert!(size <= BYTES_MAX, "{image} has {size} bytes");
        assert!(version(image, &files, &root)?.contains(env!("CARGO_PKG_VERSION")));
    }
    Ok(())
}

#[test]
fn the_same_programs_make_the_same_archives() -> Result<()> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    folders.iter().try_for_each(|folder| build(folder.path()))?;
    for image in IMAGES {
        let [one, other] =
            folders.each_ref().map(|folder| fs::read(folder.path().join(format!("{image}.tar"))));
        assert!(one? == other?, "{image}");
    }
    Ok(())
}

/// What podman and Docker build is what `images/build` does, on any machine.
#[test]
fn containerfiles_have_the_projects_toolchain_and_version_and_no_architecture() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).expect("a channel");
    for image in IMAGES {
        let text = read(&format!("images/{image}.Containerfile"));
        for line in [
            format!("FROM docker.io/library/rust:{channel}-bookworm AS build"),
            format!("RUN cargo build --release --locked --bin {image}"),
            format!("RUN images/build --root /image target/release/{image}"),
            format!(
                "ARG VERSION={} REVISION=unknown CREATED=1970-01-01T00:00:00Z",
                env!("CARGO_PKG_VERSION")
            ),
        ] {
            assert!(text.lines().any(|one| one == line), "{image} lacks {line}");
        }
        for word in ["amd64", "x86", "arm64", "aarch64", "--platform"] {
            assert!(!text.contains(word), "{image}: {word}");
        }
    }
}
