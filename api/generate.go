package api

//go:generate go -C tools tool oapi-codegen -config server.yaml ../openapi.yaml
//go:generate go -C tools tool oapi-codegen -config client.yaml ../openapi.yaml
