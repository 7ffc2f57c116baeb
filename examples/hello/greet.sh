# greet.sh WORD NAME
printf '%s, %s!\n' "$1" "$2"
