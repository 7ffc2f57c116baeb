// Package script tests the product as its users see it: the scripts in
// testdata run the real binaries, the real git and real processes, and can be
// read as documentation. go test ./test/script -run TestScripts/review runs
// one; -update writes their golden files anew.
//
// A script starts with nothing. Besides testscript's own commands it has
//
//	hub [-as NAME] [FLAGS]    starts a hub; sets LANDFALL_URL, and LANDFALL_TOKEN to its administrator's
//	ledger [-as NAME] [K=V]   starts a node of examples/ledger; sets LEDGER_URL and LEDGER_TOKEN
//	user NAME GROUP           makes a person; sets NAME_TOKEN, and NAME_GIT to where the person's git goes
//	runner [FLAGS]            makes an account and starts a runner with it
//	agent NAME [FLAGS]        the same for the environment NAME; sets NAME_FRONT, NAME_API and NAME_API_TOKEN
//	background NAME COMMAND   runs a command of the product, whose output goes to logs/NAME.log
//	run PROGRAM               runs a program that is none of these commands
//	crash NAME, end NAME      SIGKILL or SIGTERM to one of these: a hub, "ledger", "runner", "agent-NAME"
//	restart NAME              starts it again as it was started
//	as NAME COMMAND           runs a command with NAME's token
//	await [-out REGEXP] PROGRAM   repeats a program until it succeeds, and prints what is wanted, for a minute
//	load URL, load -stop      sends requests to URL one after the other; fails if one failed
//	readme LINE [&]           runs a line of README.md in a shell; with & in the background
//	readme -with TEXT VALUE   what stands for TEXT of README.md from here on
//	port NAME                 sets NAME to a free address on loopback
//	set NAME REGEXP           sets NAME to what the group of REGEXP matches in the last output
//	big FILE SIZE             makes a JSON file of that many bytes
//
// and landfall, git and curl as commands of their own. Whatever a script does,
// nothing that it runs may print the trace of a panic, and no log may have a
// token.
package script
