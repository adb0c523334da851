package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/watch"
	"github.com/confidential-token-broker/ctb/rules"
)

// rulesFile is the file that the rules come from.
func (c *config) rulesFile() string {
	if c.Rules != "" {
		return c.Rules
	}
	return c.EncryptedRules.File
}

// readFile reads a file of at most max bytes: fetch.File at the start, when a pipe is waited
// for, and fetch.RegularFile later, when nothing may wait.
type readFile func(path string, max int64) ([]byte, error)

// loadRules reads the rules, in whichever form they are kept.
func (c *config) loadRules(read readFile) (*rules.Set, error) {
	text, err := read(c.rulesFile(), rules.MaxFile)
	if err != nil {
		key := "rules"
		if c.Rules == "" {
			key = "rules_encrypted.file"
		}
		return nil, c.file.Fault(key, "%w", err)
	}
	if c.Rules == "" {
		if text, err = c.EncryptedRules.decrypt(text, read); err != nil {
			return nil, fmt.Errorf("rules: %s: %w", c.rulesFile(), err)
		}
	}
	set, err := rules.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("rules: %s: %w", c.rulesFile(), err)
	}
	return set, nil
}

func (e encryptedRules) decrypt(ciphertext []byte, read readFile) ([]byte, error) {
	key, err := secret("key", e.KeyFile, e.KeyEnv, read)
	if err != nil {
		return nil, err
	}
	iv, err := secret("iv", e.IVFile, e.IVEnv, read)
	if err != nil {
		return nil, err
	}
	return rules.Import(ciphertext, key[:], iv[:], e.ZeroKey)
}

// secret reads 16 bytes from a file or the environment. Its errors say where, never what.
func secret(name, file, env string, read readFile) ([16]byte, error) {
	if file == "" {
		return rules.ParseHexKey(name+" in $"+env, []byte(os.Getenv(env)))
	}
	text, err := read(file, 1024)
	if err != nil {
		return [16]byte{}, fmt.Errorf("%s: %w", name, err)
	}
	return rules.ParseHexKey(name+" in "+file, text)
}

// followRules reloads the rules when their file changes and on a hangup, which also
// opens the audit's file again, until ctx ends. Rules that can't be read change nothing: the last good ones stay.
// seen is the content that was there before the first reading.
func followRules(ctx context.Context, hangup <-chan os.Signal, c *config, seen watch.Content, b *broker.Broker, auditTo *auditFile, log *slog.Logger) error {
	changed := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- watch.Follow(ctx, c.rulesFile(), seen, func() {
			select {
			case changed <- struct{}{}:
			default: // a reload is due already, and will see what is there then
			}
		}, func(err error) {
			log.Warn("changes of the rule file are found by looking at it every ten seconds", "err", err)
		})
	}()
	for {
		select {
		case err := <-ended: // also when ctx ends
			if err != nil {
				return fmt.Errorf("watching the rules: %w", err)
			}
			return nil
		case <-hangup:
			if err := auditTo.reopen(); err != nil {
				log.Error("the audit's file can't be opened again; the one that is open stays", "err", err)
			} else if text := looseAudit(c.Audit.File); text != "" {
				log.Warn(text)
			}
		case <-changed:
		}
		reload(ctx, c, b, log)
	}
}

func reload(ctx context.Context, c *config, b *broker.Broker, log *slog.Logger) {
	set, err := c.loadRules(fetch.RegularFile)
	if err == nil {
		err = b.SetRules(ctx, set)
	}
	if err != nil {
		log.Error("the rules can't be used; the last good ones stay in force", "err", err)
		return
	}
	log.Info("the rules were read again", "rules", set.DigestString())
	warnRules(set, log)
}

// warnRules tells of what is valid but surely not meant.
func warnRules(set *rules.Set, log *slog.Logger) {
	for _, w := range set.Check() {
		log.Warn("a rule is probably not what was meant", "rule", w.Rule, "finding", w.Text)
	}
}
