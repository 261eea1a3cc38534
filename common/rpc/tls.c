#include "common/rpc/tls.h"

#include "common/base/file.h"

#include <stdlib.h>
#include <string.h>

#define PEM_BYTES_MAX ((size_t)1 << 20)

static enum status add_own_certificate(
	nng_tls_config *config, const struct rpc_tls *tls, struct error *err)
{
	char *cert = NULL;
	char *key = NULL;
	size_t size;
	enum status status = file_read_all(tls->cert_file, PEM_BYTES_MAX, &cert, &size, err);
	if (status != STATUS_OK)
		goto cleanup;
	status = file_read_all(tls->key_file, PEM_BYTES_MAX, &key, &size, err);
	if (status != STATUS_OK)
		goto cleanup;
	int rv = nng_tls_config_own_cert(config, cert, key, NULL);
	if (rv != 0)
		status = error_set(err, STATUS_INVALID_ARGUMENT,
			"%s, %s: not a PEM certificate and its key: %s", tls->cert_file,
			tls->key_file, nng_strerror(rv));
cleanup:
	if (key) {
		explicit_bzero(key, strlen(key));
		free(key);
	}
	free(cert);
	return status;
}

static enum status add_authority(nng_tls_config *config, const char *path, struct error *err)
{
	char *chain = NULL;
	size_t size;
	enum status status = file_read_all(path, PEM_BYTES_MAX, &chain, &size, err);
	if (status != STATUS_OK)
		return status;
	int rv = nng_tls_config_ca_chain(config, chain, NULL);
	if (rv != 0)
		status = error_set(err, STATUS_INVALID_ARGUMENT,
			"%s: not a PEM certificate authority: %s", path, nng_strerror(rv));
	free(chain);
	return status;
}

static enum status configure(nng_tls_config **ret, nng_tls_mode mode, nng_tls_auth_mode auth,
	const struct rpc_tls *tls, const char *server_name, struct error *err)
{
	nng_tls_config *config;
	int rv = nng_tls_config_alloc(&config, mode);
	if (rv != 0)
		return error_set(
			err, rpc_status_from_nng(rv), "TLS configuration: %s", nng_strerror(rv));
	enum status status = STATUS_OK;
	if (tls->cert_file)
		status = add_own_certificate(config, tls, err);
	if (status == STATUS_OK && tls->ca_file)
		status = add_authority(config, tls->ca_file, err);
	if (status == STATUS_OK) {
		rv = nng_tls_config_auth_mode(config, auth);
		if (rv == 0 && server_name)
			rv = nng_tls_config_server_name(config, server_name);
		if (rv != 0)
			status = error_set(err, rpc_status_from_nng(rv), "TLS configuration: %s",
				nng_strerror(rv));
	}
	if (status != STATUS_OK) {
		nng_tls_config_free(config);
		return status;
	}
	*ret = config;
	return STATUS_OK;
}

enum status rpc_tls_server_config(
	nng_tls_config **ret, const struct rpc_tls *tls, struct error *err)
{
	if (!tls || !tls->cert_file || !tls->key_file)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"a tls+tcp address needs a certificate and its key (--tls-cert, "
			"--tls-key)");
	return configure(ret, NNG_TLS_MODE_SERVER,
		tls->ca_file ? NNG_TLS_AUTH_MODE_REQUIRED : NNG_TLS_AUTH_MODE_NONE, tls, NULL, err);
}

enum status rpc_tls_client_config(
	nng_tls_config **ret, const struct rpc_tls *tls, const char *url, struct error *err)
{
	if (!tls || !tls->ca_file)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"a tls+tcp address needs the authority that signed the server's "
			"certificate (--tls-ca)");
	if (!tls->cert_file != !tls->key_file)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"a certificate needs its key and a key its certificate (--tls-cert, "
			"--tls-key)");
	nng_url *parsed;
	int rv = nng_url_parse(&parsed, url);
	if (rv != 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s: %s", url, nng_strerror(rv));
	enum status status = configure(
		ret, NNG_TLS_MODE_CLIENT, NNG_TLS_AUTH_MODE_REQUIRED, tls, parsed->u_hostname, err);
	nng_url_free(parsed);
	return status;
}
