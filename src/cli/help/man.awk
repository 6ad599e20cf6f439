# A help text, whose form is in src/cli/help.rs, becomes a manual page:
#   awk -v version=0.2.0 -f man.awk en.txt > coze-workflow.1
# In another language, name is what its section NAME is called. Dashes and quotes go out escaped, so
# that what is to be typed can be copied from the page.

function escaped(text) {
  gsub(/\\/, "\\e", text)
  # Where a long Chinese line has no place to break, groff 1.22 does not end in a narrow window.
  gsub(/，|。|；|：|、/, "&\\:", text)
  gsub(/-/, "\\-", text)
  gsub(/'/, "\\(aq", text)
  gsub(/~/, "\\(ti", text)
  gsub(/…/, "\\[u2026]", text)
  return text ~ /^[.]/ ? "\\&" text : text
}

# A line of its own.
function put(line) {
  if (flowing != "") print ""
  flowing = ""
  print line
}

# Goes on with the text before it. roff puts a blank between two lines, which Chinese is written without.
function flow(text) {
  if (flowing ~ /[^ -~]$/ && text ~ /^[^ -~]/ || flowing ~ /(，|。|；|：|、)$/) printf "\\:"
  else if (flowing != "") print ""
  printf "%s", escaped(text)
  flowing = text
}

# A macro takes quotes away.
function put_term(text) {
  text = escaped(text)
  gsub(/"/, "\\(dq", text)
  put(".TP\n.B " text)
}

# The line before this one, which is a term if this one is indented deeper.
function release(is_term) {
  if (held == "") return
  if (is_term) put_term(held)
  else flow(held)
  held = ""
}

function end_example() {
  if (in_example) put(".EE")
  in_example = 0
}

NR == 1 {
  split($0, title, " - ")
  print ".TH COZE\\-WORKFLOW 1 \"\" \"" title[1] " " version "\""
  # Ragged, for Chinese can't be stretched, and without hyphens in names: every .SH and .TP sets
  # hyphenation anew, to HY.
  print ".ad l\n.nr HY 0"
  print ".SH " (name ? name : "NAME")
  print escaped(title[1]) " \\- " escaped(title[2])
  next
}

/^$/ {
  release(0)
  blank = 1
  next
}

/^[^ ]/ {
  release(0); end_example()
  sub(/(:|：)$/, "")
  put(".SH " toupper(escaped($0)))
  blank = 0
  next
}

{
  match($0, /^ */)
  indent = RLENGTH
  text = substr($0, indent + 1)
  words = match(text, /  +/)
}

indent == 4 || in_example && indent > 4 {
  release(0)
  if (!in_example) put((blank ? ".PP\n" : "") ".EX")
  in_example = 1
  blank = 0
  put(escaped(substr($0, 5)))
  next
}

# Goes on with the words of an entry.
indent > 6 {
  release(1)
  flow(text)
  next
}

{ release(0); end_example() }

words {
  put_term(substr(text, 1, words - 1))
  flow(substr(text, words + RLENGTH))
  blank = 0
  next
}

{
  if (blank) put(".PP")
  blank = 0
  held = text
}

END { release(0); end_example(); if (flowing != "") print "" }
