#!/bin/sh
# A seed gives the same events in another process, whatever the machine does meanwhile: other addresses, other memory,
# another temporary directory (of another file system where there is one), other schedules before it, and a program
# beside it that takes and frees inodes.
# usage: same_events_test.sh SIM_TEST
set -u
program=$1
first=2004003 # in async mode once another run for each inode that was used again
count=12
before=3 # schedules that the second run has before the first one's

directory=$(mktemp -d)
memory=/dev/shm
[ -d "$memory" ] && [ -w "$memory" ] || memory=$directory
other=$(mktemp -d "$memory"/a-longer-name-of-a-temporary-directory.XXXXXX)
neighbour=
trap 'if [ "$neighbour" ]; then kill "$neighbour" && wait "$neighbour"; fi; rm -rf "$directory" "$other"' EXIT
export CK_FORK=no MARQUEE_SIM_LIST=1

neighbour_main() {
	while :; do
		mkdir "$1"
		for i in 1 2 3 4 5 6 7; do
			mkdir "$1/directory$i"
			: >"$1/file$i"
		done
		rm -r "$1"
	done
}

# run NAME COMMAND...: what the schedules of this run did goes to the file NAME.
run() {
	name=$1
	shift
	"$@" "$program" >"$directory/$name.out" 2>"$directory/$name.err" || {
		cat "$directory/$name.out" "$directory/$name.err"
		echo "FAILED: the $name run" >&2
		exit 1
	}
	grep '^seed ' "$directory/$name.out" | sort >"$directory/$name"
	if grep -v ': ends well$' "$directory/$name"; then
		echo "FAILED: the $name run" >&2
		exit 1
	fi
}

setarch -R true 2>"$directory/setarch" && fixed="setarch -R"
mkdir "$directory/crowd"
neighbour_main "$directory/crowd/neighbour" 2>"$directory/neighbour" &
neighbour=$!

run plain env MARQUEE_SIM_SEED=$first MARQUEE_SIM_SCHEDULES=$count TMPDIR="$directory/crowd"
# shellcheck disable=SC2086 # one word, or none
run other env MARQUEE_SIM_SEED=$((first - before)) MARQUEE_SIM_SCHEDULES=$((count + before)) TMPDIR="$other" \
	TZ=Asia/Tokyo MALLOC_PERTURB_=165 ${fixed:-}

schedules=$(wc -l <"$directory/plain")
[ "$schedules" -eq $((2 * count)) ] || {
	echo "FAILED: $schedules schedules are listed, not $((2 * count))" >&2
	exit 1
}
if [ "$(comm -23 "$directory/plain" "$directory/other")" ]; then
	comm -23 "$directory/plain" "$directory/other"
	echo "FAILED: the events of these seeds were others in other surroundings" >&2
	exit 1
fi
echo "$schedules schedules had the same events again"
