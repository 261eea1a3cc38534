# From what --help prints to a manual page: awk -v name=marquee-train -v about="train in one process" -v version=0.1.0
#
# The form is that of common/base/flags.c and launcher/dispatch.c: a line of usage, paragraphs, and groups of options under a
# heading with a colon. An indented line begins an entry, a line indented further goes on with it.

# Text as roff reads it: every character for itself.
function plain(text) {
  gsub(/\\/, "\\e", text)
  gsub(/-/, "\\-", text)
  gsub(/'/, "\\(aq", text)
  sub(/^\./, "\\\\\\&.", text)
  return text
}

function section(title) {
  if (title != open_section)
    print ".SH " title
  open_section = title
}

function entry(line,    words, term, rest, place) {
  sub(/^  /, "", line)
  place = match(line, /  +/)
  term = place ? substr(line, 1, place - 1) : line
  rest = place ? substr(line, place + RLENGTH) : ""
  print ".TP"
  if (term ~ /^--/) {
    place = index(term, " ")
    print "\\fB" plain(place ? substr(term, 1, place - 1) : term) "\\fR" (place ? " \\fI" plain(substr(term, place + 1)) "\\fR" : "")
  } else if (term != "help" && commands)
    print ".BR " plain(program "-" term) " (1)"
  else
    print ".B " plain(term)
  if (rest != "")
    print plain(rest)
}

BEGIN {
  program = name
  sub(/-.*/, "", program)
  print ".\\\" Written by docs/man/make from what the program says of itself."
  print ".TH " toupper(plain(name)) " 1 " date " \"Marquee " version "\" \"User Commands\""
  section("NAME")
  print plain(name) " \\- " plain(about)
}

NR == 1 {
  sub(/^usage: /, "")
  section("SYNOPSIS")
  place = match($0, / [[A-Z]/)
  split(place ? substr($0, 1, place - 1) : $0, parts, "|")
  print ".B " plain(parts[1])
  if (place)
    print plain(substr($0, place + 1))
  next
}

/^[A-Za-z][A-Za-z ,()]*:$/ {
  sub(/:$/, "")
  commands = $0 == "commands"
  section(commands ? "COMMANDS" : "OPTIONS")
  if (!commands && $0 != "options")
    print ".SS " toupper(substr($0, 1, 1)) substr($0, 2)
  in_group = 1
  next
}

/^  [^ ]/ && in_group {
  entry($0)
  after_blank = 0
  next
}

/^ +[^ ]/ && in_group {
  sub(/^ +/, "")
  print plain($0)
  next
}

/^$/ {
  after_blank = 1
  next
}

{
  if (NR > 1 && !in_group)
    section("DESCRIPTION")
  else
    in_group = 0
  if (after_blank && described)
    print ".PP"
  described = 1
  after_blank = 0
  print plain($0)
}
