# Holds src to its map, src/README.md: every room and every arrow between rooms is on the map, and
# nothing is on the map that is no more; each outside thing has one door; no file is too long. Tests
# (from `#[cfg(test)]` + `mod tests {` on, tests.rs, matrix.rs, directories of tests) and comments may
# name anything. Called with README.md first, then every .rs file of src:
#   awk -f tests/rooms.awk src/README.md $(find src -name '*.rs' | sort)

BEGIN {
  MAIN = 120; PLATFORM = 150; FILE = 500; ALL = 10836
  # What each is named, and in which files only.
  only("ureq([^A-Za-z0-9_]|$)", "http/", "ureq is named in src/http/ only: others ask through src/http.rs")
  only("lexopt([^A-Za-z0-9_]|$)", "cli[.]", "lexopt is named in src/cli.rs only")
  only("((env|fs)::|std::(env|fs)|std::[{][^}]*(env|fs))", "(config|batch|main|console|platform|input/(source|params))", "environment and files belong to config, batch, input/{source,params}, main, platform; console has standard output as a file")
  only("(e?print(ln)?!|std(in|out|err)[(])", "(main|console|platform|input/source)", "standard streams belong to main, console, platform and input/source")
  only("(process::(exit|abort)|ExitCode)", "main", "only src/main.rs exits")
  only("(Instant|SystemTime|thread::sleep)", "time", "clock and sleep belong to src/time.rs: take a Clock")
  only("(cfg!?[(].*(unix|windows|target_os|target_family)|std::os::)", "platform", "what the systems do differently is in src/platform.rs")
  only("(Studio|studio|Site([^A-Za-z0-9_]|$)|coze[.]site)", "service", "only src/service.rs and the rooms in it ask which server it is")
}

function only(word, files, sentence) {
  words++; WORD[words] = word; FILES[words] = "^" files; SENTENCE[words] = sentence
}

function fault(sentence) { print sentence; failed = 1 }

# The map: `room.rs` or `room/{a,b}` in the first cell of a table's row; arrows as `room → a, b`.
FILENAME ~ /README[.]md$/ {
  if ($0 ~ /^[|]/) {
    cell = $0; sub(/^[|] */, "", cell); sub(/ *[|].*/, "", cell)
    while (match(cell, /`[^`]*`/)) {
      name = substr(cell, RSTART + 1, RLENGTH - 2); cell = substr(cell, RSTART + RLENGTH)
      if (match(name, /[{].*[}]/)) {
        stem = substr(name, 1, RSTART - 1); n = split(substr(name, RSTART + 1, RLENGTH - 2), parts, ",")
        for (i = 1; i <= n; i++) on_map[stem parts[i] ".rs"] = 1
      } else if (name ~ /[.]rs$/) on_map[name] = 1
    }
  }
  if (match($0, /^    [a-z_]+ +→ /)) {
    from = $0; sub(/^ */, "", from); sub(/ .*/, "", from)
    to = $0; sub(/.*→ */, "", to); n = split(to, targets, /, */)
    for (i = 1; i <= n; i++) drawn[from " → " targets[i]] = 1
  }
  map_lines = FNR
  next
}

FNR == 1 {
  file = FILENAME; sub(/^src\//, "", file)
  room = file; sub(/[\/.].*/, "", room)
  in_tests = file ~ /(^|\/)(tests|matrix)[.]rs$/ || file ~ /\/tests\//
  before = ""; lines = 0
  if (!in_tests) there[file] = 1
}
before ~ /^#\[cfg\(test\)\]/ && /^(pub\(crate\) )?mod [a-z_]+ [{]/ { in_tests = 1; lines-- }
{ before = $0 }
in_tests { next }
{ lines++; length_of[file] = lines }
/^[ \t]*(\/\/.*)?$/ { next }
{
  code++
  for (i = 1; i <= words; i++)
    if (file !~ FILES[i] && $0 ~ "(^|[^A-Za-z0-9_])" WORD[i]) fault("src/" file ":" FNR ": " $0 "\n  " SENTENCE[i])
  rest = $0
  while (match(rest, /crate::[a-z_]+/)) {
    target = substr(rest, RSTART + 7, RLENGTH - 7); rest = substr(rest, RSTART + RLENGTH)
    if (target != room && target != "support" && target != "error" && target != "time" && target != "platform") used[room " → " target] = 1
  }
}

END {
  for (file in there) if (!(file in on_map)) fault("src/" file " is not on the map, src/README.md")
  for (file in on_map) if (!(file in there)) fault("src/README.md has " file ", which is no more")
  for (arrow in used) if (!(arrow in drawn)) fault("src/README.md lacks the arrow " arrow)
  for (arrow in drawn) if (!(arrow in used)) fault("src/README.md has the arrow " arrow ", which is no more")
  for (file in length_of) {
    bound = file == "main.rs" ? MAIN : file == "platform.rs" ? PLATFORM : FILE
    if (length_of[file] > bound) fault("src/" file " has " length_of[file] " lines, of at most " bound ": what does it own that is not its own?")
  }
  if (map_lines > 60) fault("src/README.md has " map_lines " lines, of at most 60")
  if (code > ALL) fault("src has more than " ALL " lines of code")
  print code " lines of code in src, without blanks, comments and tests (at most " ALL ")"
  exit failed
}
