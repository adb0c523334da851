// Command ctb is for the desk of an operator or a developer: it shows the whole
// confidential token broker on one machine, reads evidence, verifies tokens,
// asks brokers for tokens, fetches and shows collateral, and writes and checks
// policies and rule files.
//
// It exits 0 if all is well, 1 if what it was asked about is not (not
// genuine, not accepted, refused), and 2 if it was called wrongly.
//
// It trusts nothing by default but the roots of Intel, AMD and AWS; what else is to be trusted is
// named on its command line. It may link anything, the simulated hardware
// included; the programs that run in production do not.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
