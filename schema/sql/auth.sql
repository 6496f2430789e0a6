-- The tables of MLflow 3.17.2's basic-auth application, at Alembic revision f1a2b3c4d5e6 of its own
-- version table, as a start with auth = basic makes them where none of them is. A stock server with
-- --app-name basic-auth then starts on them unchanged.
--
-- Names, types, defaults and the order of columns are those of a database that stock MLflow has made;
-- tests/api/test_auth_schema.py compares the two catalogs. Names are not qualified, as in mlflow.sql. The
-- program runs this text in one transaction under the schema's advisory lock, and reads from its lines
-- that begin with CREATE TABLE which tables there must be.

-- The start of every stock server compares the one row with its own head, and migrates.
CREATE TABLE alembic_version_auth (
    version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_auth_pkc PRIMARY KEY (version_num)
);

CREATE TABLE users (
    id            serial,
    username      varchar(255),
    password_hash varchar(255),
    is_admin      boolean,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_username_key UNIQUE (username)
);

-- ----------------------------------------------------------------------------------------------
-- What decides: roles, what they permit, who has them. A grant to one user stands on a role named
-- __user_<id>__ in the workspace. No foreign key cascades.
-- ----------------------------------------------------------------------------------------------

CREATE TABLE roles (
    id          serial,
    name        varchar(255) NOT NULL,
    workspace   varchar(63) NOT NULL,
    description varchar(1024),
    CONSTRAINT roles_pkey PRIMARY KEY (id),
    CONSTRAINT unique_workspace_role_name UNIQUE (workspace, name)
);
CREATE INDEX idx_roles_workspace ON roles (workspace);

CREATE TABLE role_permissions (
    id               serial,
    role_id          integer NOT NULL,
    resource_type    varchar(64) NOT NULL,
    resource_pattern varchar(255) NOT NULL,
    permission       varchar(255) NOT NULL,
    CONSTRAINT role_permissions_pkey PRIMARY KEY (id),
    CONSTRAINT role_permissions_role_id_fkey FOREIGN KEY (role_id) REFERENCES roles (id),
    CONSTRAINT unique_role_resource_perm UNIQUE (role_id, resource_type, resource_pattern)
);
CREATE INDEX idx_role_permissions_role_id ON role_permissions (role_id);

CREATE TABLE user_role_assignments (
    id      serial,
    user_id integer NOT NULL,
    role_id integer NOT NULL,
    CONSTRAINT user_role_assignments_pkey PRIMARY KEY (id),
    CONSTRAINT user_role_assignments_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT user_role_assignments_role_id_fkey FOREIGN KEY (role_id) REFERENCES roles (id),
    CONSTRAINT unique_user_role UNIQUE (user_id, role_id)
);
CREATE INDEX idx_user_role_assignments_user_id ON user_role_assignments (user_id);
CREATE INDEX idx_user_role_assignments_role_id ON user_role_assignments (role_id);

-- ----------------------------------------------------------------------------------------------
-- What decided before roles did. MLflow keeps these tables and reads none of them; a row in one still
-- stands in the way of deleting its user.
-- ----------------------------------------------------------------------------------------------

CREATE TABLE experiment_permissions (
    id            serial,
    experiment_id varchar(255) NOT NULL,
    user_id       integer NOT NULL,
    permission    varchar(255),
    CONSTRAINT experiment_permissions_pkey PRIMARY KEY (id),
    CONSTRAINT fk_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_experiment_user UNIQUE (experiment_id, user_id)
);

CREATE TABLE registered_model_permissions (
    id         serial,
    name       varchar(255) NOT NULL,
    user_id    integer NOT NULL,
    permission varchar(255),
    workspace  varchar(63) NOT NULL DEFAULT 'default',
    CONSTRAINT registered_model_permissions_pkey PRIMARY KEY (id),
    CONSTRAINT fk_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_workspace_name_user UNIQUE (workspace, name, user_id)
);

CREATE TABLE scorer_permissions (
    id            serial,
    experiment_id varchar(255) NOT NULL,
    scorer_name   varchar(256) NOT NULL,
    user_id       integer NOT NULL,
    permission    varchar(255),
    CONSTRAINT scorer_permissions_pkey PRIMARY KEY (id),
    CONSTRAINT fk_scorer_perm_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_scorer_user UNIQUE (experiment_id, scorer_name, user_id)
);

CREATE TABLE gateway_secret_permissions (
    id         serial,
    secret_id  varchar(255) NOT NULL,
    user_id    integer NOT NULL,
    permission varchar(255),
    CONSTRAINT gateway_secret_permissions_pkey PRIMARY KEY (id),
    CONSTRAINT fk_gateway_secret_perm_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_secret_user UNIQUE (secret_id, user_id)
);

CREATE TABLE gateway_endpoint_permissions (
    id          serial,
    endpoint_id varchar(255) NOT NULL,
    user_id     integer NOT NULL,
    permission  varchar(255),
    CONSTRAINT gateway_endpoint_permissions_pkey PRIMARY KEY (id),
    CONSTRAINT fk_gateway_endpoint_perm_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_endpoint_user UNIQUE (endpoint_id, user_id)
);

CREATE TABLE gateway_model_definition_permissions (
    id                  serial,
    model_definition_id varchar(255) NOT NULL,
    user_id             integer NOT NULL,
    permission          varchar(255),
    CONSTRAINT gateway_model_definition_permissions_pkey PRIMARY KEY (id),
    CONSTRAINT fk_gateway_model_def_perm_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_model_def_user UNIQUE (model_definition_id, user_id)
);

CREATE TABLE workspace_permissions (
    workspace  varchar(63) NOT NULL,
    user_id    integer NOT NULL,
    permission varchar(32) NOT NULL,
    CONSTRAINT workspace_permissions_pk PRIMARY KEY (workspace, user_id),
    CONSTRAINT workspace_permissions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)
);
CREATE INDEX idx_workspace_permissions_user_id ON workspace_permissions (user_id);
CREATE INDEX idx_workspace_permissions_workspace ON workspace_permissions (workspace);

INSERT INTO alembic_version_auth (version_num) VALUES ('f1a2b3c4d5e6');
