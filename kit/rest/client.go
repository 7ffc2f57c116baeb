package rest

import "landfall.dev/kit/rest/client"

// Client speaks to a Server over HTTP; see package client.
type Client = client.Client

// ClientOptions modify a Client.
type ClientOptions = client.Options

// NewClient returns a client of the cluster at urls, one or several addresses
// of its nodes with commas between them, which are tried in turn. It
// identifies itself by token, if that is not empty.
func NewClient(urls, token string, o ClientOptions) (*Client, error) {
	return client.New(urls, token, o)
}
