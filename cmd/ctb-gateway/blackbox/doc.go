// Package blackbox tests ctb-gateway as its users see it: the real program,
// built once, as a process of its own, over real sockets. It imports nothing of
// the gateway's and has no code but tests.
//
// Most of it is scripts, testdata/*.txtar: the acceptance language of the
// gateway. A script is the comment of a txtar archive; the archive's files lie
// beside the program when it starts. Every script runs under both profiles,
// strict and notary, unless it names its own. It reads like a transcript of curl:
//
//	covers jwt-missing jwt-good
//	key notary ES256 jwt.pub
//	token alice {"sub":"alice"}
//	start
//
//	> GET /healthcheck
//	< 401
//	< www-authenticate: Bearer...
//	notary < content-type: text/plain; charset=utf-8
//	notary <
//	notary < Unauthorized request from prover: Missing JWT token
//
//	> GET /healthcheck
//	> Authorization: Bearer $alice
//	< 200
//	| GET /healthcheck
//	| !authorization
//
//	-- config.yaml --
//	upstream: http://$upstream
//	…
//
// Lines that begin with # and empty lines part the steps. "strict" or "notary"
// before a line makes it one of that profile alone. $name is a variable, in files
// as well: upstream, profile and long (100 KiB) are set, token and issuer set
// others, and an unknown one in an answer takes the word that stands there. "..."
// in what is expected is any text.
//
// # Requests and answers
//
// "> METHOD TARGET" begins a request; header lines, an empty one and a body may
// follow. HTTP/1.1, Host, Content-Length and the Content-Type of JSON are added
// where they are missing. ">> LINE" is sent as it is, with CRLF at its end, or
// without one after "\c"; \r, \n, \t, \xNN and \\ stand for bytes. A request has a
// connection of its own unless "connect" stands before it.
//
// "< STATUS…" reads an answer, of one of these statuses: the headers below it must
// be there with that value, "!name" must not be there, and what follows an empty
// line is the body. Of a JSON object those members must be there that are named.
// The status "closed" is the end of the connection in place of an answer, and
// "any" is all of them. What is refused (400 and up) must not have reached the
// upstream, unless "|" follows.
//
// "until" before a request repeats it, on new connections, until the answer is the
// expected one; "again STATUS" repeats it, on one, as long as the answer has that
// status.
//
// "| METHOD TARGET" is what the upstream saw: exactly one request since it was
// looked at last, with headers and body as in an answer. "| nothing" is none, "| at
// most once" no second, "| any" whatever it was, and "| broken METHOD TARGET" none
// that is whole, and at most one such whose body breaks off.
//
// For every script it holds that what the upstream sees has one framing, one host
// and no odd byte in its head; that neither it, nor the log, nor an answer has a credential; and that
// the program neither panics nor races.
//
// # Commands
//
//	covers ROW…                which rows of the specification the script shows
//	profiles PROFILE…          the profiles it runs under, where it is not both
//	key NAME ALGORITHM FILE    makes a key pair; its public half is in FILE (PEM)
//	jwks FILE KEY…             writes public keys as a JWK set
//	issuer NAME KEY…           serves them on loopback; $NAME is the URL
//	fetches NAME N             that URL was asked for N times by now
//	token NAME [by=KEY] [header=JSON] [kid=ID] [public] JSON
//	                           signs a token; "now+60" is 60 s from now; exp is added
//	                           (in five minutes) unless it is there or "noexp" stands before JSON
//	secret TEXT                the upstream and the log must not have it, as they must not have a
//	                           token that is not public
//	env NAME=VALUE             for the program, from its next start
//	start [FILE]               runs the program on config.yaml, until it listens
//	stop                       SIGTERM; the exit status is 0
//	hup                        SIGHUP
//	check FILE [ARGUMENT…]     runs it with -check: exit 0
//	fails FILE [ARGUMENT…]     the same: exit 1
//	says TEXT, silent TEXT     what the last check wrote has TEXT, or has not
//	log TEXT, nolog TEXT       waits until the log has TEXT; it has not by now
//	replace FILE FROM          writes beside FILE and renames
//	overwrite FILE FROM        truncates FILE, and then writes it
//	link FILE TARGET           makes FILE a symbolic link, in one step
//	listener NAME              requests go to the listener of that name; "main" is the first
//	connect [NAME], on NAME    a connection that several requests go over
//	keep NAME                  the last connection gets that name, the next request another
//	close, reset               ends it; reset by RST
//	send "TEXT", expect "TEXT" bytes of an upgraded connection
//	half-close                 sends our end
//	ended                      theirs has come, with nothing before it
package blackbox
