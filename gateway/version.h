/*
 * version: what this program calls itself, and which MLflow it stands in for. Constants.
 */
#ifndef GATEWAY_VERSION_H
#define GATEWAY_VERSION_H

#define SLUICE_VERSION "0.1.0"
#define MLFLOW_VERSION "3.17.2"

#endif
