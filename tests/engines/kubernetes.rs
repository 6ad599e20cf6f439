//! Kubernetes: the Job against the schema that a Python package ships, what the API server checks
//! beyond it, and a small controller that runs each index by the Job's own policies. No cluster.

use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::page::{self, block};
use crate::stage::{NO_WAY, PATIENCE, Stage, is_here, python};
use crate::support::coze::{ECHO, FAILS, RATE_LIMITED, SLOW, UNPUBLISHED};

/// Prints what is wrong with the manifest, or the manifest as JSON. `strict` refuses unknown keys.
const VALIDATE: &str = "
import json, sys, kubernetes_validate as k, yaml
job = yaml.safe_load(sys.argv[1])
versions = [v for v in k.utils.all_versions() if tuple(map(int, v.split('.')[:2])) >= (1, 29)]
assert versions
for version in versions:
    try:
        k.validate(job, version, strict=True)
    except k.ValidationError as error:
        sys.exit(f'{version}: {error.message}')
print(json.dumps(job))
";

#[test]
fn the_kubernetes_job_follows_the_schema_and_what_the_api_server_asks_beyond_it() {
    let Some(job) = job() else { return };
    let page = block(page::JOB);
    for (right, wrong) in [
        ("backoffLimitPerIndex: 20", "backoffLimitPerindex: 20"),
        ("backoffLimitPerIndex: 20", "backoffLimitPerIndex: many"),
        ("values: [3]", "values: 3"),
        ("restartPolicy: Never", "restartPolicies: Never"),
    ] {
        assert!(page.contains(right));
        let said = validate(&page.replace(right, wrong));
        assert!(said.is_err(), "{wrong} is taken");
    }
    let (spec, pod) = (&job["spec"], &job["spec"]["template"]["spec"]);
    assert_eq!(
        (&job["apiVersion"], &job["kind"]),
        (&json!("batch/v1"), &json!("Job"))
    );
    // A podFailurePolicy needs the one, an index of its own and FailIndex the others.
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(spec["completionMode"], "Indexed");
    assert!(spec["completions"].is_u64() && spec["backoffLimitPerIndex"].is_u64());
    assert_eq!(spec["podReplacementPolicy"], "Failed");
    assert_eq!(rules(&job)[0]["action"], "Ignore");
    assert_eq!(
        rules(&job)[0]["onPodConditions"][0]["type"],
        "DisruptionTarget"
    );
    let mut seen = Vec::new();
    for rule in &rules(&job)[1..] {
        let codes = &rule["onExitCodes"];
        assert_eq!(codes["operator"], "In");
        assert_eq!(codes["containerName"], pod["containers"][0]["name"]);
        seen.extend(
            codes["values"]
                .as_array()
                .unwrap()
                .iter()
                .map(|code| code.as_u64().unwrap()),
        );
    }
    seen.sort_unstable();
    // Never 0, and each code of the program once.
    assert_eq!(seen, (1..=9).collect::<Vec<_>>());
    let claims = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| &volume["name"]);
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    assert!(claims.eq(mounts.iter().map(|mount| &mount["name"])));
    // Every row belongs to one index.
    let slice = format!("NR % {} == task", spec["completions"]);
    assert!(
        pod["containers"][0]["args"][0]
            .as_str()
            .unwrap()
            .contains(&slice)
    );
}

#[test]
fn the_kubernetes_job_acts_on_every_exit_code_as_the_program_means_it() {
    let Some(job) = job() else { return };
    for (code, action) in [
        (1, Action::FailIndex),
        (2, Action::FailIndex),
        (3, Action::FailJob),
        (4, Action::FailIndex),
        (5, Action::Count),
        (6, Action::Count),
        (7, Action::FailIndex),
        (8, Action::FailIndex),
        (9, Action::FailIndex),
        (137, Action::Count),
        (143, Action::Count),
    ] {
        assert_eq!(Action::on(&job, code), action, "{code}");
    }
}

#[test]
fn the_indexes_of_a_kubernetes_job_that_are_repeated_start_nothing_twice() {
    let Some(job) = job() else { return };
    let mut rows = [SLOW; 16];
    // Rows 3 and 11 are index 4's, 4 and 12 index 5's.
    (rows[3], rows[11], rows[4], rows[12]) = (FAILS, ECHO, UNPUBLISHED, RATE_LIMITED);
    let stage = Stage::new(&rows);
    let first = "mkdir ../reached.$JOB_COMPLETION_INDEX 2>/dev/null";
    let away =
        format!(r#"if [ "${{JOB_COMPLETION_INDEX:-}}" = 6 ] && {first}; then export {NO_WAY}; fi"#);
    stage.kill_programs(2, 2, &away);
    let tries = thread::scope(|scope| {
        let indexes: Vec<_> = (0..job["spec"]["completions"].as_u64().unwrap())
            .map(|index| {
                scope.spawn({
                    let (job, stage) = (&job, &stage);
                    move || settle(job, stage, index)
                })
            })
            .collect();
        indexes
            .into_iter()
            .map(|index| index.join().unwrap())
            .collect::<Vec<_>>()
    });
    let ends: Vec<_> = tries.iter().map(|codes| *codes.last().unwrap()).collect();
    assert_eq!(ends, [0, 0, 0, 0, 1, 4, 0, 0]);
    assert_eq!(tries[6][0], 5);
    let killed = tries.iter().flatten().filter(|code| **code == 137);
    assert_eq!((killed.count(), stage.killed()), (2, 2), "{tries:?}");
    let answers = stage.pass(1);
    stage.is_answered("Kubernetes Job", &answers, 1);
}

/// What the controller does about a pod that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    FailJob,
    FailIndex,
    Count,
}

impl Action {
    /// The first rule that fits counts; where none does, the failure counts towards the limit.
    fn on(job: &Value, code: i32) -> Self {
        let has = |rule: &&Value| {
            let values = rule["onExitCodes"]["values"].as_array();
            values.is_some_and(|values| values.contains(&json!(code)))
        };
        match rules(job)
            .iter()
            .find(has)
            .map(|rule| rule["action"].as_str().unwrap())
        {
            Some("FailJob") => Self::FailJob,
            Some("FailIndex") => Self::FailIndex,
            Some("Count") | None => Self::Count,
            Some(other) => panic!("no action on an exit code: {other}"),
        }
    }
}

fn rules(job: &Value) -> &[Value] {
    job["spec"]["podFailurePolicy"]["rules"].as_array().unwrap()
}

/// The exit codes of an index's pods, until it has succeeded or failed. Its back-off is left out.
fn settle(job: &Value, stage: &Stage, index: u64) -> Vec<i32> {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let limit = job["spec"]["backoffLimitPerIndex"].as_u64().unwrap();
    assert_eq!(container["command"], json!(["sh", "-c"]));
    assert_eq!(container["workingDir"], "/shared");
    let script = container["args"][0].as_str().unwrap();
    let mut codes = Vec::new();
    loop {
        let pod = Command::new("timeout")
            .args([PATIENCE, "sh", "-c", script])
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", stage.path("bin").display()),
            )
            .env("HOME", stage.path("home"))
            .env("JOB_COMPLETION_INDEX", index.to_string())
            .current_dir(stage.path("shared"))
            .output()
            .unwrap();
        let code = pod.status.code().unwrap();
        codes.push(code);
        let is_repeated = code != 0 && Action::on(job, code) == Action::Count;
        if !is_repeated {
            return codes;
        }
        assert!(codes.len() as u64 <= limit, "{index}: {codes:?}");
    }
}

/// The page's manifest, where it can be read.
fn job() -> Option<Value> {
    let import: &[&str] = &["-c", "import kubernetes_validate, yaml"];
    is_here("Kubernetes", &[(&python(), import)])
        .then(|| validate(&block(page::JOB)).unwrap_or_else(|error| panic!("{error}")))
}

fn validate(manifest: &str) -> Result<Value, String> {
    let output = Command::new(python())
        .args(["-c", VALIDATE, manifest])
        .output()
        .unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}
