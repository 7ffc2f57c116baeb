# What a build's script is made of: see step.go. Plain POSIX shell and the
# tools of busybox (cat, grep, sleep), because an image may have no more.
# All names begin with lf_: they share the shell with the build's variables.

lf_result=SUCCESS lf_exit=0 lf_why=
lf_resume=0 # the number of the step that the script goes on with
lf_newline='
'

# lf_worsen RESULT: makes the result of the build no better than RESULT.
lf_worsen() {
	case $lf_result$1 in
	SUCCESS*|UNSTABLEFAILURE) lf_result=$1 ;;
	esac
}

lf_say() { printf '%s\n' "--- $1"; }

# lf_past N: whether step N was done before the script was left, see lf_call.
lf_past() { [ "$1" -lt "$lf_resume" ]; }

# lf_run N HEADER UNSTABLE COMMAND...: runs the file N.sh as a step.
lf_run() {
	if lf_past "$1"; then return 0; fi
	lf_n=$1 lf_unstable=$3
	lf_say "$2"
	shift 3
	if "$@" "$LANDFALL_SCRIPT/$lf_n.sh"; then return 0; else lf_fail "$lf_n" $? "$lf_unstable"; fi
}

# lf_fail N EXIT [UNSTABLE]: notes that step N has ended with EXIT, and returns
# 0 if that only makes the build unstable.
lf_fail() {
	if [ "$lf_exit" = 0 ]; then lf_exit=$2 lf_why="step $1 exited with $2"; fi
	if [ "$2" = "${3:-0}" ]; then
		printf '\n--- step %s exited with %s: the build is unstable\n' "$1" "$2"
		lf_worsen UNSTABLE
		return 0
	fi
	printf '\n--- step %s exited with %s\n' "$1" "$2"
	lf_worsen FAILURE
	return 1
}

# lf_expand TEXT: sets lf_text to TEXT with its variables replaced; $$ and \$
# stand for $. It leaves alone what is no variable, and returns 2 with a name
# in lf_unset if one is not set.
lf_expand() {
	lf_text= lf_rest=$1 lf_unset=
	while :; do
		case $lf_rest in
		*\$*) ;;
		*) break ;;
		esac
		lf_before=${lf_rest%%\$*} lf_rest=${lf_rest#*\$}
		case $lf_before in
		*\\) lf_text=$lf_text${lf_before%\\}\$; continue ;;
		esac
		lf_text=$lf_text$lf_before
		case $lf_rest in
		\$*) lf_text=$lf_text\$ lf_rest=${lf_rest#?}; continue ;;
		\{*\}*) lf_name=${lf_rest#?}; lf_name=${lf_name%%\}*} lf_whole=\{$lf_name\} ;;
		*) lf_name=${lf_rest%%[!A-Za-z0-9_]*} lf_whole=$lf_name ;;
		esac
		lf_known=${lf_name%-}
		case $lf_known in
		''|[0-9]*|*[!A-Za-z0-9_]*) lf_text=$lf_text\$; continue ;;
		esac
		lf_rest=${lf_rest#"$lf_whole"}
		if eval "[ \"\${$lf_known+set}\" ]"; then
			eval "lf_text=\$lf_text\$$lf_known"
		elif [ "$lf_known" = "$lf_name" ]; then
			lf_text=$lf_text\$$lf_whole lf_unset=$lf_name
		fi
	done
	lf_text=$lf_text$lf_rest
	[ -z "$lf_unset" ] || return 2
}

# lf_trim TEXT: sets lf_text to TEXT without blanks at its ends.
lf_trim() {
	lf_text=${1#"${1%%[![:space:]]*}"}
	lf_text=${lf_text%"${lf_text##*[![:space:]]}"}
}

# lf_property LINE: puts NAME=value into the environment, and notes it for the
# steps that run when this shell has ended.
lf_property() {
	lf_trim "${1%%[=:[:space:]]*}"; lf_key=$lf_text
	lf_value=${1#"$lf_key"}
	lf_trim "$lf_value"
	case $lf_text in
	[=:]*) lf_text=${lf_text#?} ;;
	esac
	lf_trim "$lf_text"
	lf_expand "$lf_text"
	lf_set "$lf_key" "$lf_text"
}

# lf_set NAME VALUE: puts it into the environment, also of later shells.
lf_set() {
	case $1 in
	''|[0-9]*|*[!A-Za-z0-9_]*) lf_say "$1 is no name for a variable: not set"; return 0 ;;
	lf_*|LANDFALL_SCRIPT|LANDFALL_STATE) lf_say "$1 is Landfall's own: not set"; return 0 ;;
	esac
	export "$1=$2"
	printf '%s' "$2" >"$LANDFALL_STATE/env/$1"
}

# lf_properties FILE: puts a file of properties into the environment. As in
# Jenkins, a backslash is one, but at the end of a line.
lf_properties() {
	lf_logical=
	while IFS= read -r lf_line || [ "$lf_line" ]; do
		lf_line=${lf_line%"$lf_return"}
		lf_line=${lf_line#"${lf_line%%[![:space:]]*}"}
		if [ -z "$lf_logical" ]; then
			case $lf_line in ''|'#'*|'!'*) continue ;; esac
		fi
		case $lf_line in
		*\\) lf_logical=$lf_logical${lf_line%\\}; continue ;;
		esac
		lf_property "$lf_logical$lf_line"
		lf_logical=
	done <"$1"
	[ -z "$lf_logical" ] || lf_property "$lf_logical"
}
lf_return=$(printf '\r')

# lf_inject N HEADER FILE: a step that sets variables from FILE in the
# workspace, if one is named, and from N.properties.
lf_inject() {
	if lf_past "$1"; then return 0; fi
	lf_say "$2"
	if [ "$3" ]; then
		lf_expand "$3"
		if [ ! -f "$lf_text" ] || [ ! -r "$lf_text" ]; then
			printf 'There is no file of properties %s.\n' "$lf_text"
			lf_fail "$1" 1
			return
		fi
		lf_properties "$lf_text"
	fi
	lf_properties "$LANDFALL_SCRIPT/$1.properties"
}

# lf_copy N HEADER TARGET: a step that copies what the runner has fetched.
lf_copy() {
	if lf_past "$1"; then return 0; fi
	lf_say "$2"
	cat "$LANDFALL_SCRIPT/$1.copy/said"
	if [ -e "$LANDFALL_SCRIPT/$1.copy/failed" ]; then lf_fail "$1" 1; return; fi
	lf_expand "$3"
	{ mkdir -p "./$lf_text" && cp -R "$LANDFALL_SCRIPT/$1.copy/files/." "./$lf_text/"; } || lf_fail "$1" $?
}

# lf_file N HEADER NAME FROM VARIABLE TARGET: a step that puts the file FROM, which
# stands beside the script, where it can be changed and removed.
lf_file() {
	if lf_past "$1"; then return 0; fi
	lf_say "$2"
	if [ ! -e "$LANDFALL_SCRIPT/$4" ]; then
		printf 'There is no file %s.\n' "$3"
		lf_fail "$1" 1
		return
	fi
	lf_expand "$6" || { printf 'There is no variable %s.\n' "$lf_unset"; lf_fail "$1" 1; return; }
	lf_path=$lf_text
	case $lf_path in
	'') lf_path=$LANDFALL_STATE/files/$1/$3 ;;
	*/) lf_path=$lf_path$3 ;;
	*) [ ! -d "$lf_path" ] || lf_path=$lf_path/$3 ;;
	esac
	case $lf_path in /*) ;; *) lf_path=$PWD/$lf_path ;; esac
	{ mkdir -p "${lf_path%/*}" && cat "$LANDFALL_SCRIPT/$4" >"$lf_path"; } || { lf_fail "$1" $?; return; }
	[ -z "$5" ] || lf_set "$5" "$lf_path"
}

# lf_call N HEADER: a step that the runner carries out. The script notes how far
# it has come and is left; the runner starts it again, with lf_resume, and then
# this says what has come of it.
lf_call() {
	if lf_past "$1"; then return 0; fi
	if [ "$1" != "$lf_resume" ]; then
		lf_say "$2"
		printf '%s\n' "$1" >"$LANDFALL_STATE/call"
		printf '%s\n' "lf_result=$lf_result lf_exit=$lf_exit lf_why='$lf_why'" >"$LANDFALL_STATE/left"
		exit 0
	fi
	cat "$LANDFALL_SCRIPT/$1.said"
	lf_properties "$LANDFALL_SCRIPT/$1.properties"
	read -r lf_verdict <"$LANDFALL_SCRIPT/$1.verdict"
	case $lf_verdict in
	stop) lf_fail "$1" 1 ;;
	FAILURE|UNSTABLE)
		lf_say "step $1 makes the build $lf_verdict"
		lf_worsen "$lf_verdict"
		if [ "$lf_exit" = 0 ]; then lf_exit=1 lf_why="step $1: a build that it started did not pass"; fi ;;
	esac
}

# lf_resumed N: what lf_call has noted.
lf_resumed() {
	lf_resume=$1
	lf_load
	. "$LANDFALL_STATE/left"
}

# Conditions return 0 if they hold, 1 if not, and more if they cannot tell.

lf_is_true() {
	lf_expand "$1" || return
	lf_trim "$lf_text"
	case $lf_text in
	[Tt][Rr][Uu][Ee]|[Yy][Ee][Ss]|[Oo][Nn]|[Rr][Uu][Nn]|[Tt]|[Yy]|1) return 0 ;;
	esac
	return 1
}

# lf_two A B: expands both, into lf_a and lf_text.
lf_two() {
	lf_expand "$1" || return
	lf_a=$lf_text
	lf_expand "$2" || return
}

lf_is_equal() { lf_two "$1" "$2" || return; [ "$lf_a" = "$lf_text" ]; }

# lf_is_equal_folded A B: as grep sees it, in fixed text and whole lines.
lf_is_equal_folded() {
	lf_two "$1" "$2" || return
	[ ${#lf_a} = ${#lf_text} ] || return 1
	[ "$lf_a" ] || return 0
	printf '%s\n' "$lf_a" | grep -Fixq -e "$lf_text"
}

# lf_is_match TEXT REGEX [OPTION]: lines of TEXT are joined, so that the
# expression has to match all of them.
lf_is_match() {
	lf_expand "$1" || return
	lf_joined=
	while :; do
		lf_joined=$lf_joined${lf_text%%"$lf_newline"*}
		case $lf_text in
		*"$lf_newline"*) lf_text=${lf_text#*"$lf_newline"} lf_joined="$lf_joined " ;;
		*) break ;;
		esac
	done
	printf '%s\n' "$lf_joined" | grep -Exq $3 -e "$2"
}

lf_is_file() { lf_expand "$1" || return; [ -e "$lf_text" ]; }

lf_is_shell() { lf_file=$1; shift; "$@" "$LANDFALL_SCRIPT/$lf_file" || return 1; }

# lf_is_between WORST BEST: the result of the build so far.
lf_is_between() {
	lf_rank "$1"; lf_low=$lf_r
	lf_rank "$2"; lf_high=$lf_r
	lf_rank "$lf_result"
	[ "$lf_high" -le "$lf_r" ] && [ "$lf_r" -le "$lf_low" ]
}

lf_rank() {
	case $1 in
	SUCCESS) lf_r=0 ;;
	UNSTABLE) lf_r=1 ;;
	FAILURE) lf_r=2 ;;
	*) lf_r=4 ;;
	esac
}

# lf_decide N HEADER POLICY CONDITION: returns 0 if the steps of condition N are
# to run, 1 if not, 2 if the build has failed.
lf_decide() {
	if lf_past "$1"; then
		if [ -e "$LANDFALL_STATE/skipped.$1" ]; then return 1; fi
		return 0
	fi
	lf_say "$2"
	lf_unset=
	"$4"
	lf_outcome "$1" $? "$3" || { lf_e=$?; : >"$LANDFALL_STATE/skipped.$1"; return $lf_e; }
}

# lf_outcome N OUTCOME POLICY: as lf_decide, of a condition that was evaluated.
lf_outcome() {
	case $2 in
	0) return 0 ;;
	1) lf_say "skipped: the condition does not hold"; return 1 ;;
	esac
	lf_say "the condition cannot be evaluated${lf_unset:+: there is no variable $lf_unset}; $3"
	case $3 in
	run) return 0 ;;
	run-and-mark-unstable) lf_worsen UNSTABLE; return 0 ;;
	mark-unstable) lf_worsen UNSTABLE; return 1 ;;
	dont-run) return 1 ;;
	esac
	lf_fail "$1" 1
	return 2
}

# lf_guard POLICY STEPS: runs the function STEPS, whose failure fails the
# build, only makes it unstable, or is ignored.
lf_guard() {
	lf_was=$lf_result lf_exit_was=$lf_exit lf_why_was=$lf_why
	"$2" || case $1 in
	unstable) lf_result=$lf_was; lf_worsen UNSTABLE ;;
	ignore) lf_result=$lf_was lf_exit=$lf_exit_was lf_why=$lf_why_was ;;
	esac
}

# lf_load: takes up the variables that the steps before have injected, in
# another shell.
lf_load() {
	for lf_file in "$LANDFALL_STATE"/env/*; do
		[ -f "$lf_file" ] || continue
		lf_value=$(cat "$lf_file" && printf x) # the x keeps newlines at the end
		export "${lf_file##*/}=${lf_value%x}"
	done
}

# lf_finish: leaves the result to the runner, marks the end of what was written,
# and ends.
lf_finish() {
	if [ "$lf_result" = FAILURE ] && [ "$lf_exit" = 0 ]; then lf_exit=1; fi
	printf '%s\n' "$lf_result" "$lf_why" >"$LANDFALL_STATE/result"
	printf '\036landfall: all was written\036\n'
	exit "$lf_exit"
}
