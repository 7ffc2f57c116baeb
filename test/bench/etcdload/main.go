// Command etcdload is the peer's side of the benchmarks of kit: it loads an
// etcd by its own client as kitload loads nodes of kit. It is a module of its
// own, so that Landfall does not depend on etcd's client.
//
//	etcdload prepare -endpoints A,B,C -password P -keys N
//	etcdload load -endpoints A,B,C -password P -op put|linearizable|serializable
//	etcdload leader -endpoints A,B,C -password P
//
// Prepare makes the user root, turns authentication on and puts the keys.
// Load prints a load.Result, and leader the leader's endpoint, as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"landfall.dev/test/bench/etcdload/load"
)

// options are what the flags say.
type options struct {
	endpoints   []string
	password    string
	op          string
	keys        int
	size        int
	connections int
	load        load.Plan
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "etcdload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: prepare, load or leader")
	}
	var o options
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	endpoints := f.String("endpoints", "", "the members' client addresses, with commas between")
	f.StringVar(&o.password, "password", "", "the password of root")
	f.StringVar(&o.op, "op", "put", "put, linearizable or serializable")
	f.IntVar(&o.keys, "keys", 10000, "how many keys there are")
	f.IntVar(&o.size, "size", 256, "the bytes of a value")
	f.IntVar(&o.connections, "connections", 1, "how many clients of etcd, each with its connections, they share")
	f.IntVar(&o.load.Clients, "clients", 64, "how many clients ask at once")
	f.DurationVar(&o.load.Warm, "warm", 2*time.Second, "the time before requests count")
	f.DurationVar(&o.load.For, "for", 8*time.Second, "the time in which requests count")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	o.endpoints = strings.Split(*endpoints, ",")
	switch args[0] {
	case "prepare":
		return o.prepare(ctx)
	case "load":
		return o.run(ctx)
	case "leader":
		return o.leader(ctx)
	}
	return fmt.Errorf("there is no command %q: use prepare, load or leader", args[0])
}

// connect returns a client of the endpoints, as root if authentication is on.
func (o options) connect(endpoints []string, signedIn bool) (*clientv3.Client, error) {
	c := clientv3.Config{Endpoints: endpoints, DialTimeout: 20 * time.Second}
	if signedIn {
		c.Username, c.Password = "root", o.password
	}
	return clientv3.New(c)
}

func key(n int) string { return fmt.Sprintf("items/%d", n) }

// prepare turns authentication on and puts the keys.
func (o options) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := o.connect(o.endpoints, false)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.UserAdd(ctx, "root", o.password); err != nil {
		return err
	}
	if _, err := c.UserGrantRole(ctx, "root", "root"); err != nil {
		return err
	}
	if _, err := c.AuthEnable(ctx); err != nil {
		return err
	}
	root, err := o.connect(o.endpoints, true)
	if err != nil {
		return err
	}
	defer root.Close()
	value := strings.Repeat("x", o.size)
	const batch = 100 // etcd takes up to 128 operations at once
	for n := 0; n < o.keys; n += batch {
		var puts []clientv3.Op
		for i := n; i < min(n+batch, o.keys); i++ {
			puts = append(puts, clientv3.OpPut(key(i), value))
		}
		if _, err := root.Txn(ctx).Then(puts...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

// run carries out the load.
func (o options) run(ctx context.Context) error {
	clients := make([]*clientv3.Client, o.connections)
	for i := range clients {
		var err error
		if clients[i], err = o.connect(o.endpoints, true); err != nil {
			return err
		}
		defer clients[i].Close()
	}
	var op load.Op
	switch o.op {
	case "put":
		op = func(ctx context.Context, client int, random *rand.Rand) error {
			_, err := clients[client%len(clients)].Put(ctx, key(random.IntN(o.keys)), load.Value(random, o.size))
			return err
		}
	case "linearizable":
		op = o.reading(clients)
	case "serializable":
		op = o.reading(clients, clientv3.WithSerializable())
	default:
		return fmt.Errorf("there is no operation %q: use put, linearizable or serializable", o.op)
	}
	result, err := load.Run(ctx, o.load, op)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// reading returns an operation that reads any of the keys.
func (o options) reading(clients []*clientv3.Client, options ...clientv3.OpOption) load.Op {
	return func(ctx context.Context, client int, random *rand.Rand) error {
		k := key(random.IntN(o.keys))
		r, err := clients[client%len(clients)].Get(ctx, k, options...)
		if err == nil && (len(r.Kvs) != 1 || len(r.Kvs[0].Value) != o.size) {
			err = fmt.Errorf("%s has not the value that was put", k)
		}
		return err
	}
}

// leader prints the endpoint of the leader.
func (o options) leader(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c, err := o.connect(o.endpoints, o.password != "")
	if err != nil {
		return err
	}
	defer c.Close()
	for _, e := range o.endpoints {
		s, err := c.Status(ctx, e)
		if err != nil {
			return err
		}
		if s.Leader == s.Header.MemberId {
			return json.NewEncoder(os.Stdout).Encode(e)
		}
	}
	return errors.New("none of the endpoints is the leader")
}
