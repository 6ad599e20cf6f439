//! The programs of the skill for systems on which this machine can't run them: read instead, by
//! Apple's `mach-o/loader.h` and `cs_blobs.h`, and Microsoft's PE format.

use std::fs;
use std::path::PathBuf;

use object::macho::{LC_CODE_SIGNATURE, PLATFORM_MACOS};
use object::read::macho::{LoadCommandVariant, MachOFile64};
use object::read::pe::PeFile64;
use object::{Architecture, Endianness, Object};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::assembled::{skill, skip};

/// The programs whose names end so.
fn programs(end: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(skill().join("bin")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let is_one = |path: &PathBuf| path.to_str().unwrap().ends_with(end);
    files.filter(is_one).collect()
}

#[test]
fn the_page_names_the_systems_that_there_are_programs_for_and_no_others() {
    let page = fs::read_to_string(skill().join("SKILL.md")).unwrap();
    let (_, systems) = page.split_once(r#""os":["#).unwrap();
    let (systems, _) = systems.split_once(']').unwrap();
    for (end, system) in [("-macos", "darwin"), (".exe", "win32"), ("", "linux")] {
        let is_named = systems.contains(&format!("{system:?}"));
        assert_eq!(is_named, !programs(end).is_empty(), "{system}: {systems}");
    }
    assert_eq!(
        systems.contains("win32"),
        skill().join("scripts/coze-workflow.cmd").exists()
    );
}

#[test]
fn a_mac_can_run_its_program_as_it_is() {
    let programs = programs("-macos");
    if programs.is_empty() {
        return skip_absent("macOS");
    }
    for path in programs {
        let data = fs::read(&path).unwrap();
        let program = MachOFile64::<Endianness>::parse(&*data).unwrap();
        let is_arm = path.to_str().unwrap().ends_with("aarch64-macos");
        let expected = if is_arm {
            Architecture::Aarch64
        } else {
            Architecture::X86_64
        };
        assert_eq!(program.architecture(), expected);

        let endian = program.endian();
        let (mut minimum, mut libraries, mut is_signed) = (None, 0, false);
        let mut commands = program.macho_load_commands().unwrap();
        while let Some(command) = commands.next().unwrap() {
            match command.variant().unwrap() {
                LoadCommandVariant::BuildVersion(version) => {
                    assert_eq!(version.platform.get(endian), PLATFORM_MACOS);
                    minimum = Some(version.minos.get(endian));
                }
                LoadCommandVariant::Dylib(library) => {
                    let name = command.string(endian, library.dylib.name).unwrap();
                    let name = str::from_utf8(name).unwrap();
                    assert!(name.starts_with("/usr/lib/"), "{name}");
                    libraries += 1;
                }
                LoadCommandVariant::LinkeditData(place)
                    if place.cmd.get(endian) == LC_CODE_SIGNATURE =>
                {
                    check_signature(&data, place.dataoff.get(endian) as usize);
                    is_signed = true;
                }
                _ => {}
            }
        }
        // Macs with Apple's processors run nothing that is not signed; others do.
        assert_eq!((minimum, is_signed), (Some(11 << 16), is_arm));
        assert!(libraries > 0);
    }
}

/// Of nobody's name, and of these very bytes.
#[track_caller]
fn check_signature(program: &[u8], place: usize) {
    let signature = &program[place..];
    let word = |bytes: &[u8], at: usize| {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    // A table of parts, each with its kind and place. Kind 0 is what says how the code is hashed.
    assert_eq!(word(signature, 0), 0xfade_0cc0);
    let mut parts = (0..word(signature, 8)).map(|part| 12 + 8 * part);
    let part = parts.find(|&at| word(signature, at) == 0).unwrap();
    let directory = &signature[word(signature, part + 4)..];
    assert_eq!(word(directory, 0), 0xfade_0c02);
    let ad_hoc = 2;
    assert_eq!(word(directory, 12) & ad_hoc, ad_hoc);
    let (hashes, pages, end) = (
        word(directory, 16),
        word(directory, 28),
        word(directory, 32),
    );
    let [hash_length, sha_256, _, page_bits] = directory[36..40] else {
        unreachable!("four bytes")
    };
    assert_eq!((hash_length, sha_256, end), (32, 2, place));
    let code = program[..end].chunks(1 << page_bits);
    assert_eq!(code.len(), pages);
    for (page, bytes) in code.enumerate() {
        let hash = &directory[hashes + 32 * page..][..32];
        assert_eq!(digest(&SHA256, bytes).as_ref(), hash, "page {page}");
    }
}

#[test]
fn windows_has_all_that_its_program_needs() {
    let programs = programs("-windows.exe");
    if programs.is_empty() {
        return skip_absent("Windows");
    }
    for path in programs {
        let data = fs::read(&path).unwrap();
        let program = PeFile64::parse(&*data).unwrap();
        assert_eq!(program.architecture(), Architecture::X86_64);
        let imports = program.imports().unwrap();
        assert!(!imports.is_empty());
        for import in imports {
            let library = str::from_utf8(import.library())
                .unwrap()
                .to_ascii_lowercase();
            let is_of_the_system = library.starts_with("api-ms-win-")
                || [
                    "advapi32.dll",
                    "bcrypt.dll",
                    "bcryptprimitives.dll",
                    "combase.dll",
                    "kernel32.dll",
                    "ntdll.dll",
                    "ole32.dll",
                    "shell32.dll",
                    "userenv.dll",
                    "ws2_32.dll",
                ]
                .contains(&&*library);
            assert!(is_of_the_system, "{library}");
        }
    }
}

/// Held where std was built with the program: one that came ready is larger, and names the sources
/// of its makers.
#[test]
fn no_program_is_larger_than_its_budget() {
    let budget = include_str!("../bench/budget.json");
    let budget: Value = serde_json::from_str(budget).unwrap();
    for (name, most) in budget["systems"].as_object().unwrap() {
        for path in programs(name) {
            let data = fs::read(path).unwrap();
            let is_small = data.len() as u64 <= most.as_u64().unwrap();
            let has_ready_std = data.windows(7).any(|bytes| bytes == b"/rustc/");
            assert!(is_small || has_ready_std, "{name}: {} bytes", data.len());
        }
    }
}

fn skip_absent(system: &str) {
    if crate::assembled::shipped().is_none() {
        skip(system, "there is no program for it in this skill");
    }
}
