// Command ctb-gateway is the authorizing reverse proxy: it stands before an
// upstream and lets requests through whose token is good enough.
//
//	ctb-gateway -config FILE [-check]
//
// The configuration is explained in deploy/gateway.example.yaml. With -check it
// is read, with all the files that it names, and what would be enforced is
// told in words; nothing is started, and nothing is fetched.
//
// Logs go to standard error as JSON lines. SIGHUP and changes of the files
// (keys, policy, collateral, TLS certificate) reload them; while a file is not
// good, what was read last is kept, and a file that has not changed is not read
// again. SIGTERM and SIGINT stop the gateway, after at most ten seconds for
// requests under way.
//
// The exit status is 0 if it was stopped, or the configuration is good, or help
// was asked for (-h), 1 if it failed, and 2 if it was called in a wrong way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// First of all, for an unhandled SIGHUP would end the program: one that comes
	// while files are read waits here until they can be read again.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, hangup, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, hangup <-chan os.Signal, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ctb-gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: ctb-gateway -config FILE [-check]")
		flags.PrintDefaults()
	}
	path := flags.String("config", "", "configuration `file`, YAML or JSON: see deploy/gateway.example.yaml")
	check := flags.Bool("check", false, "read the configuration, tell what it would enforce, and stop")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *path == "" || flags.NArg() > 0 {
		flags.Usage()
		return 2
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	err := start(ctx, hangup, *path, *check, log, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "ctb-gateway:", err)
		return 1
	}
	return 0
}

// start reads everything that the configuration names before it does anything.
func start(ctx context.Context, hangup <-chan os.Signal, path string, check bool, log *slog.Logger, stdout io.Writer) error {
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	s, err := newService(c, log)
	if err != nil {
		return err
	}
	if check {
		return describe(stdout, c)
	}
	return s.serve(ctx, hangup)
}
