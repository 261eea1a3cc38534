#!/bin/sh
# The pserver program from outside: its ready line, its signals, its refusals.
# usage: program_test.sh PSERVER
set -u
pserver=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
failed=0

complain() {
	echo "FAILED: $*" >&2
	failed=1
}

# refuses CODE TEXT ARGUMENTS...: exits with CODE and says TEXT on stderr, nothing on stdout.
refuses() {
	code=$1 text=$2
	shift 2
	"$pserver" "$@" >"$directory/out" 2>"$directory/err"
	got=$?
	[ $got -eq "$code" ] || complain "pserver $*: exit $got, expected $code"
	grep -qF -- "$text" "$directory/err" || complain "pserver $*: '$(cat "$directory/err")' lacks '$text'"
	[ ! -s "$directory/out" ] || complain "pserver $*: wrote to stdout"
}

# ready ARGUMENTS...: starts a server, waits for its line; sets $server and $url.
ready() {
	mkfifo "$directory/line.$$"
	"$pserver" "$@" >"$directory/line.$$" &
	server=$!
	read -r line <"$directory/line.$$"
	rm "$directory/line.$$"
	url=$(echo "$line" | sed -n 's/^pserver: ready \([^ ]*\) shard .*$/\1/p')
	[ -n "$url" ] || complain "pserver $*: no ready line but '$line'"
}

for signal in TERM INT; do
	ready --listen tcp://127.0.0.1:0 --shard 1/3
	case $line in
	*"127.0.0.1:0 "*) complain "no port in '$line'" ;;
	"pserver: ready tcp://127.0.0.1:"*" shard 1/3") ;;
	*) complain "unexpected '$line'" ;;
	esac
	refuses 1 "$url: address in use" --listen "$url"
	kill -s $signal $server
	wait $server || complain "SIG$signal: exit $?"
done

printf 'secret\n' >"$directory/token"
: >"$directory/empty"
ready --listen tcp://0.0.0.0:0 --token-file "$directory/token" --checkpoint-dir "$directory"
kill $server
wait $server || complain "with a token: exit $?"

ready --listen "ipc://$directory/socket"
kill $server
wait $server || complain "ipc: exit $?"

refuses 1 "can be reached from other machines" --listen tcp://0.0.0.0:0
refuses 1 "is empty" --listen tcp://0.0.0.0:0 --token-file "$directory/empty"
refuses 1 "No such file" --listen tcp://0.0.0.0:0 --token-file "$directory/missing"
refuses 1 "no such directory" --listen tcp://127.0.0.1:0 --checkpoint-dir "$directory/missing"
refuses 2 "It needs the job's --checkpoint-dir" --listen tcp://127.0.0.1:0 --resume
mkdir -p "$directory/torn/step-00000000000000000008"
echo '{}' >"$directory/torn/step-00000000000000000008/manifest.json"
refuses 1 "manifest.json" --listen tcp://127.0.0.1:0 --resume --checkpoint-dir "$directory/torn"
refuses 2 "--listen" --shard 0/1
refuses 2 "is not an address" --listen somewhere
refuses 2 "expected I/N" --listen tcp://127.0.0.1:0 --shard 1
refuses 2 "I from 0 to N-1" --listen tcp://127.0.0.1:0 --shard 2/2
refuses 2 "I from 0 to N-1" --listen tcp://127.0.0.1:0 --shard 0/65
refuses 2 "need a tls+tcp address" --listen tcp://127.0.0.1:0 --tls-cert "$directory/token"
refuses 2 "needs a certificate and its key" --listen tls+tcp://127.0.0.1:0
"$pserver" --help >"$directory/out" || complain "--help: exit $?"
grep -q -- "--listen URL" "$directory/out" || complain "--help says nothing of --listen"
exit $failed
