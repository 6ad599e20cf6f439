//! `notices TARGET...`: the licence texts that must travel with the program, for all crates that are
//! linked into it on any of these targets, as they lie in the crates' sources. What Rust and musl
//! put in is in `src/skill/notices.txt`. The same sources give the same bytes.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::Deserialize;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let targets: Vec<String> = env::args().skip(1).collect();
    match notices(&targets) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("notices: {error}");
            ExitCode::FAILURE
        }
    }
}

fn notices(targets: &[String]) -> Outcome<String> {
    let mut crates = BTreeMap::new();
    for target in targets {
        crates.extend(linked(metadata(target)?));
    }
    let mut parts = vec![include_str!("../../src/skill/notices.txt").to_owned()];
    if targets.iter().any(|target| target.contains("-windows-")) {
        parts.push(include_str!("../../src/skill/notices-windows.txt").to_owned());
    }
    for package in crates.into_values() {
        let Package { name, version, .. } = &package;
        let licence = package.license.as_deref().unwrap_or("see below");
        parts.push(format!("\n======== {name} {version}: {licence}\n"));
        let files = licence_files(&package)?;
        if files.is_empty() {
            return Err(format!("{name} {version} holds no licence text").into());
        }
        for file in files {
            let content = fs::read_to_string(&file)?.replace("\r\n", "\n");
            parts.push(format!("\n{}\n", content.trim_matches('\n')));
        }
    }
    Ok(parts.concat())
}

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    root: String,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

/// `None` is a normal dependency.
#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

fn metadata(target: &str) -> Outcome<Metadata> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", target])
        .stderr(Stdio::inherit())
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// All crates but our own that normal dependencies lead to, by name and version.
fn linked(metadata: Metadata) -> impl Iterator<Item = ((String, String), Package)> {
    let Resolve { root, nodes } = metadata.resolve;
    let nodes: BTreeMap<_, _> = nodes.into_iter().map(|node| (node.id, node.deps)).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(id) = found.get(next) {
        let normal = nodes[id]
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|dep| dep.kind.is_none()));
        let new: Vec<_> = normal
            .filter(|dep| !found.contains(&dep.pkg))
            .map(|dep| dep.pkg.clone())
            .collect();
        found.extend(new);
        next += 1;
    }
    let is_linked = move |package: &Package| found[1..].contains(&package.id);
    let packages = metadata.packages.into_iter().filter(is_linked);
    packages.map(|package| ((package.name.clone(), package.version.clone()), package))
}

/// The licence texts at the top of a crate, and of what it took from third parties. Apache's, the
/// longest by far, is left out where MIT may be chosen instead.
fn licence_files(package: &Package) -> Outcome<Vec<PathBuf>> {
    let top = package.manifest_path.parent().unwrap_or(Path::new("/"));
    let mut directories = vec![top.to_owned()];
    if let Ok(third_party) = fs::read_dir(top.join("third_party")) {
        directories.extend(third_party.flatten().map(|entry| entry.path()));
    }
    let mut files = Vec::new();
    for directory in directories.iter().filter(|path| path.is_dir()) {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if is_licence(&name(&entry.path())) && entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
    }
    if files.iter().any(|file| name(file).contains("mit")) {
        files.retain(|file| !name(file).contains("apache"));
    }
    files.sort();
    Ok(files)
}

fn is_licence(name: &str) -> bool {
    let beginnings = ["licen", "unlicen", "copying", "copyright", "notice"];
    beginnings.iter().any(|word| name.starts_with(word))
}

/// The name of a file in lower case.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().to_lowercase()
}
