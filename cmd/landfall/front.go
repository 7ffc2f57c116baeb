package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"landfall.dev/site/agent/doors"
	"landfall.dev/site/front"
)

// frontCommand runs a further front door of an environment. The first one is
// the agent's own.
func (a *app) frontCommand() *cobra.Command {
	var at, token, name, listen string
	var trust, verbose bool
	c := command("front", "Run a further front door of an environment, which does what the environment's agent orders", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		secret, err := tokenText(token)
		if err != nil {
			return err
		}
		server := login{}
		if a.ca != "" {
			b, err := os.ReadFile(a.ca)
			if err != nil {
				return fmt.Errorf("the certificate cannot be read: %w", err)
			}
			server.CA = string(b)
		}
		via, err := server.transport()
		if err != nil {
			return err
		}
		l, err := listenFront(listen)
		if err != nil {
			return err
		}
		defer l.Close()
		log := logger(verbose)
		f := front.Follower{
			Door: front.New(front.Options{TrustForwarded: trust, Logger: log}),
			Name: first(name, doorName(l.Addr())), Agent: strings.TrimRight(at, "/"), Token: secret,
			Client: &http.Client{Transport: via}, Logger: log,
		}
		return f.Run(c.Context(), l)
	})
	f := c.Flags()
	f.StringVar(&at, "agent", "http://127.0.0.1:7710", "address of the agent's API")
	f.StringVar(&token, "token", "", "token of a front door, or @FILE: made by landfall front token")
	f.StringVar(&listen, "listen", "", "address to serve clients on, 127.0.0.1:8081")
	f.StringVar(&name, "name", "", "what the agent knows the door by; without it the host's name and the port")
	f.BoolVar(&trust, "trust-forwarded", false, "keep X-Forwarded headers of requests: only behind a load balancer that sets them")
	f.BoolVarP(&verbose, "verbose", "v", false, "log details")
	_ = c.MarkFlagRequired("listen") // the flags exist
	_ = c.MarkFlagRequired("token")
	c.AddCommand(a.frontTokenCommand())
	return c
}

// frontTokenCommand makes what a further front door shows the agent.
func (a *app) frontTokenCommand() *cobra.Command {
	return command("token", "Make a token for further front doors and print it: it gives no other right (at the environment's agent: --url AGENT)", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		token, err := doors.Token(c.Context(), client)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), token)
		return err
	})
}

func listenFront(address string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("%q is no address for a front door: write it like 127.0.0.1:8081", address)
	}
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the front door cannot open: %s is in use by another program; stop that, or choose another port by --listen", address)
	}
	return l, err
}

// doorName names a door by the host and its port there.
func doorName(at net.Addr) string {
	host, err := os.Hostname()
	if err != nil {
		host = "door"
	}
	_, port, _ := net.SplitHostPort(at.String())
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, host)) + "-" + port
}
