// Command ctb-broker is the confidential token broker: it runs inside a trusted
// execution environment and exchanges id tokens for access tokens.
//
//	ctb-broker -config FILE [-check]
//
// The configuration is explained in deploy/broker.example.yaml. With -check it
// is read, with all the files that it names, and what would be enforced is
// told in words; nothing is started.
//
// Logs go to standard error and the audit, unless it has a file, to standard
// output, both as JSON lines. SIGHUP and a change of the rule file reload the
// rules; SIGHUP also opens the audit's file again under its name, after it was moved away; SIGTERM and SIGINT stop the broker, after at most ten seconds for requests under way, and a second one stops it at once.
//
// The exit status is 0 if it was stopped or the configuration is good, 1 if it
// failed, and 2 if it was called in a wrong way.
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
	"strings"
	"syscall"

	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/watch"
)

func main() {
	// First of all: what these signals do by themselves is to end the program. SIGHUP may come
	// during the start, and SIGPIPE from an audit whose reader has gone, which is an error of writing like any other.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one ends the program by itself, whatever it waits for: a pipe, or a disk that hangs
	os.Exit(run(ctx, hangup, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func run(ctx context.Context, hangup <-chan os.Signal, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ctb-broker", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "the configuration `file`, YAML or JSON: see deploy/broker.example.yaml")
	check := flags.Bool("check", false, "tell what would be enforced, and which hardware is there, and start nothing")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: ctb-broker -config FILE [-check]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	wrong := ""
	switch {
	case flags.NArg() > 0:
		wrong = "what is no flag is not read: give the configuration with -config"
	case *path == "":
		wrong = "-config is missing: which configuration?"
	}
	if wrong != "" {
		flags.Usage()
		fmt.Fprintln(stderr, "\nctb-broker:", wrong)
		return exitUsage
	}
	if err := start(ctx, hangup, *path, *check, stdout, slog.New(slog.NewJSONHandler(stderr, nil))); err != nil {
		fmt.Fprintln(stderr, "ctb-broker:", err)
		return exitError
	}
	return exitOK
}

func start(ctx context.Context, hangup <-chan os.Signal, path string, check bool, stdout io.Writer, log *slog.Logger) error {
	if err := checkEnvironment(); err != nil {
		return err
	}
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	seen := watch.Look(c.rulesFile()) // before they are read, so that no change is missed
	set, err := c.loadRules(fetch.File)
	if err != nil {
		return err
	}
	if err := c.checkBroker(set); err != nil {
		return err
	}
	if check {
		return explain(stdout, c, set)
	}
	return serve(ctx, hangup, c, set, seen, stdout, log)
}

// checkEnvironment refuses what would have package http write what goes over HTTP/2, tokens included, to standard error. Who
// sets a variable need not be who may see them.
func checkEnvironment() error {
	if strings.Contains(os.Getenv("GODEBUG"), "http2debug") {
		return errors.New("GODEBUG: http2debug writes requests and answers, with the tokens in them, to the log; take it out")
	}
	return nil
}
