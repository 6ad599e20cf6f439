//! Spark: partitions piped through the program, in local mode; one is killed and repeated. A speculative
//! copy needs a second host, so every row is in two partitions that run at the same time instead.

use std::fs;
use std::path::Path;

use crate::page::{self, block};
use crate::stage::{Stage, is_here, python};
use crate::support::coze::{ECHO, FAILS, SLOW};

#[test]
fn spark_partitions_that_fail_and_run_twice_start_nothing_twice() {
    let python = python();
    let import: &[&str] = &["-c", "import pyspark"];
    if !is_here(
        "Spark",
        &[(Path::new("java"), &["-version"]), (&python, import)],
    ) {
        return;
    }
    let rows = [SLOW, SLOW, ECHO, FAILS, SLOW, SLOW, SLOW, ECHO];
    let stage = Stage::new(&rows);
    stage.kill_programs(1, 2, "");
    stage.file("answer.sh", &block(page::ANSWER_SH));
    stage.file("rows.py", &block(page::ROWS_PY));
    // Four partitions: the last two have the rows of the first two, in another try of each.
    let once = stage.read("shared/requests.jsonl");
    stage.file("requests.jsonl", &once.repeat(2));
    let local = stage.path("local");
    fs::create_dir(&local).unwrap();
    stage.tool(
        "spark-submit",
        &format!(
            r#"export SPARK_LOCAL_IP=127.0.0.1 SPARK_LOCAL_DIRS={local} PYSPARK_PYTHON={python}
spark=$({python} -c 'import pyspark; print(pyspark.__path__[0])')
exec "$spark/bin/spark-submit" --master 'local[4,4]' --conf spark.ui.enabled=false \
  --driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djava.io.tmpdir={local}' "$@""#,
            local = local.display(),
            python = python.display(),
        ),
    );
    assert_eq!(stage.run(&block(page::SPARK)), 0);
    assert_eq!(stage.killed(), 1);
    // The task of the program that was killed, and no other.
    let said = stage.said();
    assert_eq!(said.matches("Lost task").count(), 1);
    assert!(said.contains("137"), "not for the kill");
    let parts = fs::read_dir(stage.path("shared/answers")).unwrap();
    let parts = parts.map(|part| part.unwrap().path());
    let parts: Vec<_> = parts.filter(|path| is_part(path)).collect();
    assert_eq!(parts.len(), 4);
    let answers: String = parts
        .iter()
        .map(|part| fs::read_to_string(part).unwrap())
        .collect();
    stage.is_answered("Spark", &answers, 2);
}

fn is_part(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.starts_with("part-")
}
