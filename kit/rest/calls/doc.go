// Package calls carries many calls on documents in one request, POST Path.
//
// The request's body and its answer are NDJSON, a call or an answer in each
// line:
//
//	{"id":1,"method":"PATCH","path":"/api/notes/a","headers":{"If-Match":"\"3\""},"body":{"text":"b"}}
//	{"id":2,"method":"GET","path":"/api/notes/b?consistency=eventual"}
//
//	{"id":2,"status":404,"headers":{"Landfall-Position":"7f3a-12"},"body":{"title":"not found","status":404}}
//	{"id":1,"status":200,"headers":{"Etag":"\"4\"","Landfall-Position":"7f3a-13"},"body":{"link":"notes/a"}}
//
// The calls are made side by side and answered in the order in which they are
// done. Each has the outcome that it would have had as a request of its own;
// what one of them comes to changes nothing for the others. What they share is
// the sender: the token is that of the whole request.
//
// The package has the lines, the server's side (Serve), and the client's
// (Sender). It knows nothing of documents, and never looks into a body.
package calls
