// Package skew keeps data directories, exports and snapshots that older
// versions of kit have written, and reads them for ever.
//
// Each folder under testdata was written by the commit that its README names:
//
//	data.tar.gz     the data directory of a node that was stopped: a snapshot,
//	                log entries after it, the cluster's identity
//	documents.json  every document that it held, as it was served then
//	export.frames   what GET /migrate/export answered
//	status.json     what GET /migrate/status answered
//	sums.json       what GET /migrate/sums?side=own answered
//	tokens.json     the administrator's token and the cluster's
//
// The directory is fenced, so that no task, clock or expiry changes it between
// its start and the comparison.
//
// When a format changes, a new folder is added, and no old one is touched. In
// the last commit that has the old format, run
//
//	go test ./test/skew -run TestRecord -record NAME
//
// (NAME is the next number), and name the commit in testdata/NAME/README. If
// the change brings new forms of data, first add them to fill in
// record_test.go and to the program in node.
package skew
