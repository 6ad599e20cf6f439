//! Slurm: one node, brought up here as root, runs the array; a task is preempted in the middle, another
//! is unreachable at first. Where there is no Slurm, the script's own body is run for each task.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command};

use crate::page::{self, block};
use crate::stage::{NO_WAY, Stage, is_here, wait};
use crate::support::coze::{ECHO, FAILS, SLOW};
use crate::support::nowhere::Nowhere;

/// Tasks take every eighth row: number 0 the last ones of each eight.
fn rows() -> [&'static str; 16] {
    let mut rows = [ECHO; 16];
    // Task 1, which is preempted, and one row of task 3.
    (rows[0], rows[8], rows[10]) = (SLOW, SLOW, FAILS);
    rows
}

#[test]
fn the_body_of_a_slurm_task_asks_to_be_queued_again_on_5_and_6_only() {
    let stage = staged();
    stage.tool("scontrol", r#"echo "$*" >> ../requeued"#);
    let tasks = |tasks: &str, restarts: &str| {
        stage.run(&format!(
            "for task in {tasks}; do
               SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=$task SLURM_RESTART_COUNT={restarts} sh rows.sbatch
               echo $?
             done"
        ));
        stage.read("stdout").replace('\n', " ")
    };
    assert_eq!(tasks("0 1 2 3 4 5 6 7", ""), "0 0 5 1 0 0 0 0 ");
    assert_eq!(stage.read("requeued"), "requeue 5_2\n");
    assert_eq!(tasks("2 3", "1"), "0 1 ");
    fs::remove_dir_all(stage.path("shared/journal")).unwrap();
    fs::write(stage.path("away"), "").unwrap();
    assert_eq!(tasks("4", "20"), "5 ");
    assert_eq!(stage.read("requeued"), "requeue 5_2\n");
}

#[test]
fn a_slurm_array_whose_tasks_are_queued_again_starts_nothing_twice() {
    let all: &[&str] = &[
        "-c",
        "command -v munged && command -v slurmctld && command -v slurmd && command -v sbatch",
    ];
    if !is_here("Slurm", &[(Path::new("sh"), all)]) {
        return;
    }
    let stage = staged();
    let cluster = Cluster::start(&stage);
    let submit = stage.here(&block(page::SUBMIT));
    let mut submitted = stage.shell(&cluster.script(&submit)).spawn().unwrap();
    // Task 1 has two runs going on.
    wait(|| task_logs(&stage) >= 2 && going_on(&stage));
    cluster.call("scontrol requeue 1_1");
    // Slurm lets a requeued task wait for two minutes. Let go at once it may meet its old credential,
    // revoked within the same second.
    wait(|| {
        cluster.call(&format!(
            "squeue -h -r -t PENDING -o '%i %r' | sed -n 's/ BeginTime$//p' | while read -r task; do
               mkdir {}.$task && scontrol update JobId=$task StartTime=now+3seconds
             done
             sleep 0.3",
            stage.path("slurm/released").display()
        ));
        submitted.try_wait().unwrap().is_some()
    });
    assert_eq!(
        submitted.wait().unwrap().code(),
        Some(0),
        "{}",
        stage.said()
    );
    let preempted = stage.read("shared/rows-1.log");
    assert!(preempted.contains("DUE TO JOB REQUEUE"), "{preempted}");
    assert!(stage.read("shared/rows-2.log").contains("unreachable"));
    eprintln!("{}", stage.read("slurm/slurmctld.out"));
    eprintln!("{}", stage.read("shared/rows-2.log"));
    drop(cluster);
    let answers = stage.pass(1);
    stage.is_answered("Slurm", &answers, 1);
}

/// Task 2 is unreachable until it is queued again, and all are while `away` is there.
fn staged() -> Stage {
    let stage = Stage::new(&rows());
    stage.file("rows.sbatch", &block(page::SBATCH));
    let program = crate::stage::program();
    stage.tool(
        "coze-workflow",
        &format!(
            r#"if [ "$SLURM_ARRAY_TASK_ID.${{SLURM_RESTART_COUNT:-0}}" = 2.0 ] || [ -e ../away ]; then export {NO_WAY}; fi
exec {program} "$@""#
        ),
    );
    stage
}

fn task_logs(stage: &Stage) -> usize {
    ["0", "1"]
        .iter()
        .filter(|task| stage.path(&format!("shared/rows-{task}.log")).exists())
        .count()
}

/// Whether both rows of task 1 are known to run.
fn going_on(stage: &Stage) -> bool {
    let Ok(journal) = fs::read_dir(stage.path("shared/journal")) else {
        return false;
    };
    let entries =
        journal.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
    let going = entries.filter(|entry| {
        let is_slow = entry.contains(SLOW) && entry.contains(r#""started""#);
        is_slow && !entry.contains(r#""ended""#)
    });
    going.count() == 2
}

/// munged, slurmctld and slurmd, with all their files on the stage; ended with it.
struct Cluster {
    daemons: Vec<Child>,
    environment: String,
    /// Kept from other tests' servers.
    _ports: [Nowhere; 2],
}

impl Cluster {
    fn start(stage: &Stage) -> Self {
        let root = stage.path("slurm").display().to_string();
        for name in ["state", "spool"] {
            fs::create_dir_all(stage.path("slurm").join(name)).unwrap();
        }
        fs::write(format!("{root}/key"), [7; 64]).unwrap();
        let host = Command::new("hostname").output().unwrap().stdout;
        let host = String::from_utf8(host).unwrap();
        let ports = [Nowhere::new(), Nowhere::new()];
        let mut file = File::create(format!("{root}/slurm.conf")).unwrap();
        write!(
            file,
            "ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={}
SlurmdPort={}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
ReturnToService=2
NodeName=localhost NodeHostname={} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
",
            ports[0].address().port(),
            ports[1].address().port(),
            host.trim()
        )
        .unwrap();
        let mut cluster = Self {
            daemons: Vec::new(),
            environment: format!("export SLURM_CONF={root}/slurm.conf\n"),
            _ports: ports,
        };
        let key = format!("--key-file={root}/key --socket={root}/munge.socket");
        let rest = format!(
            "--pid-file={root}/munged.pid --seed-file={root}/seed --log-file={root}/munged.log"
        );
        fs::set_permissions(
            format!("{root}/key"),
            std::os::unix::fs::PermissionsExt::from_mode(0o400),
        )
        .unwrap();
        cluster.daemon(stage, &format!("munged --foreground --force {key} {rest}"));
        wait(|| stage.path("slurm/munge.socket").exists());
        cluster.daemon(stage, "slurmctld -D");
        cluster.daemon(stage, "slurmd -D -N localhost");
        wait(|| cluster.call("sinfo -h -o %t | grep -q idle"));
        cluster
    }

    /// A child of this very process, so that it can be ended by its id.
    fn daemon(&mut self, stage: &Stage, line: &str) {
        let log = stage
            .path("slurm")
            .join(line.split(' ').next().unwrap())
            .with_extension("out");
        let log = File::create(log).unwrap();
        let daemon = Command::new("sh")
            .args(["-c", &self.script(&format!("exec {line}"))])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.daemons.push(daemon.unwrap());
    }

    fn script(&self, line: &str) -> String {
        self.environment.clone() + line
    }

    fn call(&self, line: &str) -> bool {
        let call = Command::new("timeout")
            .args(["10", "sh", "-c", &self.script(line)])
            .output();
        call.unwrap().status.success()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.call("scancel --signal=KILL --full --user=root");
        for daemon in self.daemons.iter_mut().rev() {
            let kill = ["-c", "kill $0", &daemon.id().to_string()];
            let _ = Command::new("sh").args(kill).status();
            let _ = daemon.wait();
        }
    }
}
